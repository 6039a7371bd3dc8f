/**
 * What a run's graph tells of one token's attention, entry by entry: columns of buffers become entries of the policy's
 * segments, in order, with the tokens that they stand for. Nothing is computed before somebody asks.
 */
import type { Plan, Policy, SegmentView } from "@tok/kv-cache";
import type { AttendedEntry, TokenAttention } from "../model.ts";
import { tokensPerEntry } from "./archive-layout.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { archiveOf, type GraphSegment } from "./graph-segments.ts";
import type { Attended } from "./step-result.ts";

/** A run whose graph told of attention. */
export interface AttendedRun {
	readonly attended: Attended;
	readonly plan: Plan;
	/** Of the segments' buffers when it ran. */
	readonly slots: readonly number[];
	/** The tokens of the run of which it told. */
	readonly rows: readonly number[];
}

/** A token of such a run. */
export interface AttendedToken {
	readonly run: AttendedRun;
	readonly row: number;
}

export interface AttendedModel {
	readonly config: Pick<DecoderConfig, "layers" | "queryHeads">;
	readonly policy: Policy;
	/** As the graph sees them. */
	readonly segments: readonly GraphSegment[];
	/** Entries with which the archive began. */
	readonly attached: number;
}

/** Of a token of which its run told. */
export function tokenAttention({ run, row }: AttendedToken, model: AttendedModel): TokenAttention {
	const { attended, plan, slots, rows } = run;
	const { config, segments } = model;
	const [layers, heads] = [config.layers.length, config.queryHeads];
	const archive = archiveOf(segments);
	const { recall } = segments[archive] ?? {};
	const recalling = new Set(recall?.parts.map(({ layer }) => layer));
	const seen = seenBy(row, run, model);
	const weights = new Float32Array(layers * heads * seen.length);
	const recalled = new Float32Array(layers * heads);
	const learned = new Float32Array(layers * heads);
	const place = rows.indexOf(row);
	const own = slots.reduce((sum, count, k) => (k === archive ? sum : sum + count), plan.read);
	/** Layers of which each output has told. */
	const told = { plain: 0, recalling: 0 };
	for (let layer = 0; layer < layers; layer++) {
		const kind = recalling.has(layer) ? "recalling" : "plain";
		const data = attended[kind] as Float32Array; // [layers of the kind · heads, rows, columns]
		const of = kind === "plain" ? layers - recalling.size : recalling.size;
		const width = data.length / (of * heads * rows.length);
		const most = own + (kind === "recalling" && recall ? recall.blocks * recall.blockSize : 0);
		for (let head = 0; head < heads; head++) {
			const from = ((told[kind] * heads + head) * rows.length + place) * width;
			const out = layer * heads + head;
			seen.forEach(({ column }, i) => {
				weights[out * seen.length + i] = data[from + column] as number;
			});
			recalled[out] = data.subarray(from + own, from + most).reduce((sum, weight) => sum + weight, 0);
			if (width > most) learned[out] = data[from + most] as number;
		}
		told[kind]++;
	}
	return {
		token: tokenOf(plan, row),
		layers,
		heads,
		entries: seen.map(({ entry }) => entry),
		weights,
		recalled,
		learned,
	};
}

/** An entry that a query sees, and its column among the weights. */
interface Seen {
	readonly entry: AttendedEntry;
	readonly column: number;
}

/** The entries that a row of the run sees but those of an archive, in the order of the policy. */
function seenBy(
	row: number,
	{ plan, slots }: AttendedRun,
	{ policy, segments, attached }: AttendedModel,
): Seen[] {
	const archive = archiveOf(segments);
	const tokens = tokensPerEntry(policy);
	const bySegment: Seen[][] = policy.map(() => []);
	let column = 0;
	plan.segments.forEach((view, segment) => {
		if (segment === archive) return;
		const { origin } = view;
		// What an archive sends on may come from elsewhere.
		const foreign = segment < archive ? attached : 0;
		const start = (entry: number): number =>
			origin + Math.max(0, entry * (tokens[segment] as number) - foreign);
		for (let e = view.visibleFrom[row] as number; e < (view.visibleTo[row] as number); e++) {
			const slot = e % view.slots;
			const entry = { segment, slot, start: start(e), end: start(e + 1) };
			bySegment[segment]?.push({ entry, column: column + slot });
		}
		column += slots[segment] as number;
	});
	const { pinned, visibleFrom } = plan.fresh;
	for (let other = 0; other <= row; other++) {
		if (other >= pinned && other < (visibleFrom[row] as number)) continue;
		const start = tokenOf(plan, other);
		const { segment, slot } = placeOf(start, plan, policy);
		bySegment[segment]?.push({ entry: { segment, slot, start, end: start + 1 }, column: column + other });
	}
	return bySegment.flat();
}

/** Index in the stream of a row of the run. */
function tokenOf({ start, take, read }: Plan, row: number): number {
	return start + take - read + row;
}

/** Where a token of the stream goes: to the sink that has room for it, else to the tail. */
function placeOf(token: number, { segments }: Plan, policy: Policy): Pick<AttendedEntry, "segment" | "slot"> {
	const holds = ({ origin, slots, segment }: SegmentView): boolean =>
		policy[segment]?.takes === "tokens" && token >= origin && token < origin + slots;
	const view = segments.find(holds) ?? segments.at(-1);
	if (view === undefined) return { segment: 0, slot: undefined };
	return { segment: view.segment, slot: (token - view.origin) % view.slots };
}
