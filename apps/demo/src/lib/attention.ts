/** What fell on which kind of entry: the weights of a token, summed as the eye wants them. */
import type { TokenAttention } from "@tok/lm";

/** In the order in which they stand: old before new. `colour` is one of the style sheet's. */
export const kinds = [
	{ label: "sinks", colour: "slot-sink" },
	{ label: "merged", colour: "slot-merged" },
	{ label: "recalled", colour: "slot-archived" },
	{ label: "window", colour: "slot-kept" },
	{ label: "itself", colour: "slot-fresh" },
	{ label: "learned sink", colour: "lane-3" },
] as const;

const [SINK, MERGED, RECALLED, WINDOW, ITSELF, LEARNED] = [0, 1, 2, 3, 4, 5] as const;

/** The kind of each entry, by the kinds of the policy's segments. */
export function kindsOf({ token, entries }: TokenAttention, segments: readonly string[]): Uint8Array {
	return Uint8Array.from(entries, ({ segment, start, end }) => {
		if (start === token && end === token + 1) return ITSELF;
		const kind = segments[segment];
		return kind === "sink" ? SINK : kind === "compressive" ? MERGED : WINDOW;
	});
}

/** [layers · heads, kinds] What fell on each kind; 1 in all. */
export function sharesOf(attention: TokenAttention, entryKinds: Uint8Array): Float32Array {
	const { weights, recalled, learned, entries } = attention;
	const shares = new Float32Array(recalled.length * kinds.length);
	for (const [row, onRecalled] of recalled.entries()) {
		const at = row * kinds.length;
		for (let i = 0; i < entries.length; i++) {
			const kind = at + (entryKinds[i] as number);
			shares[kind] = (shares[kind] as number) + (weights[row * entries.length + i] as number);
		}
		shares[at + RECALLED] = onRecalled;
		shares[at + LEARNED] = learned[row] as number;
	}
	return shares;
}

/** [kinds] The mean over some rows of `sharesOf`, from `first` on. */
export function meanShares(shares: Float32Array, first: number, rows: number): number[] {
	return kinds.map((_, kind) => {
		let sum = 0;
		for (let row = first; row < first + rows; row++) sum += shares[row * kinds.length + kind] as number;
		return sum / rows;
	});
}
