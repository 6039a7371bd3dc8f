/**
 * What a compressive segment makes of a group of entries (Rae et al., arXiv 1911.05507 §3.1): the mean, the maximum,
 * the most used, and the seam for whatever else a caller brings. They run on the host, once for each group that leaves the window,
 * on un-rotated keys; `transfers.ts` reads, turns and writes around them.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";

/** The entries that become one: the keys, or the values, of one key/value head of one layer. */
export interface CompressorGroup {
	readonly layer: number;
	readonly head: number;
	readonly kind: "key" | "value";
	/** [rate, headDim], the oldest first, keys un-rotated. To be read during the call alone. */
	readonly entries: Float32Array;
	/** [rate] The attention that fell on each, where the compressor asks for it: see `AttentionMass`. None elsewhere. */
	readonly attention: Float64Array;
}

/** What a compressor is to be used on. */
export interface CompressorShape {
	/** Entries of a group. */
	readonly rate: number;
	readonly layers: number;
	readonly kvHeads: number;
	readonly headDim: number;
}

/**
 * Makes one entry of a group. The same group gives the same entry, whenever and in whatever order groups come: a plan's
 * transfers may be carried out twice, and a restored session has to go on as the saved one would have.
 */
export interface Compressor {
	/**
	 * It wants to know what attention fell on the entries while they were in the window. Steps then have it reported, and
	 * the segment has to take what the window drops. Defaults to false.
	 */
	readonly attention?: boolean;
	/** Throws when it cannot be used on such groups, before a session is made. Defaults to all being welcome. */
	check?(shape: CompressorShape): void;
	/** Writes finite numbers into `out` [headDim], which holds zeros. An un-rotated key; it is rotated to its place later. */
	merge(group: CompressorGroup, out: Float32Array): void;
}

const mean: Compressor = {
	merge({ entries }, out) {
		const width = out.length;
		const share = width / entries.length;
		entries.forEach((value, i) => {
			out[i % width] = (out[i % width] as number) + value * share;
		});
	},
};

/** Channel by channel. */
const max: Compressor = {
	merge({ entries }, out) {
		const width = out.length;
		out.fill(Number.NEGATIVE_INFINITY);
		entries.forEach((value, i) => {
			out[i % width] = Math.max(out[i % width] as number, value);
		});
	},
};

/** The entry on which most attention fell, as it is; of several the oldest. H2O's heavy hitters, group by group. */
const mostUsed: Compressor = {
	attention: true,
	merge({ entries, attention }, out) {
		const best = attention.indexOf(Math.max(...attention));
		out.set(entries.subarray(best * out.length, (best + 1) * out.length));
	},
};

const builtIn: ReadonlyMap<string, Compressor> = new Map([
	["mean", mean],
	["max", max],
	["most-used", mostUsed],
]);

/** By the name that a policy gives. */
export class Compressors {
	readonly #byName: ReadonlyMap<string, Compressor>;

	/** Throws unless names can stand in a policy and are none of tok's own. */
	constructor(own: Readonly<Record<string, Compressor>> = {}) {
		for (const [name, compressor] of Object.entries(own)) {
			if (!/^[a-z][a-z0-9-]*$/.test(name) || builtIn.has(name))
				throw new TokError(
					"lm",
					`compressors: expected names of letters, digits and "-" other than ${[...builtIn.keys()].join(", ")}, ` +
						`got "${name}". A policy names them, as in compressive:128/4/NAME.`,
				);
			if (typeof compressor?.merge !== "function")
				throw new TokError(
					"lm",
					`compressors: expected "${name}" to be an object with merge(group, out), got ${typeof compressor}.`,
				);
		}
		this.#byName = new Map([...builtIn, ...Object.entries(own)]);
	}

	/** Throws unless every compressor of the policy is known and can be used on the model. */
	check(policy: Policy, model: Omit<CompressorShape, "rate">): void {
		for (const [segment, { compressor: name, takes }] of policy.entries())
			if (name !== undefined && typeof takes === "object") {
				const compressor = this.#byName.get(name);
				if (compressor === undefined)
					throw new TokError(
						"lm",
						`${formatPolicy(policy)}: expected a compressor among ${[...this.#byName.keys()].join(", ")}, got "${name}". ` +
							"Give loadModel one of your own as compressors.",
					);
				if (compressor.attention && policy[segment + 1]?.takes !== "rest")
					throw new TokError(
						"lm",
						`${formatPolicy(policy)}: expected ${name}, which counts the attention that falls on a window, to take what ` +
							"the window drops. Write it last before the window.",
					);
				compressor.check?.({ ...model, rate: takes.group });
			}
	}

	/** Whether it wants to know what attention fell on the window. */
	counts(name: string): boolean {
		return this.#byName.get(name)?.attention === true;
	}

	/** Throws when it writes numbers that no cache can hold. */
	merge(name: string, group: CompressorGroup, out: Float32Array): void {
		this.#byName.get(name)?.merge(group, out);
		if (out.every(Number.isFinite)) return;
		const { layer, head, kind } = group;
		throw new TokError(
			"lm",
			`compressor "${name}": expected finite numbers, got ${out.find((value) => !Number.isFinite(value))} in the ` +
				`${kind} of layer ${layer}, head ${head}.`,
		);
	}
}
