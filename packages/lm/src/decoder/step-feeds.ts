/**
 * Turns plans into what the decoder's graph reads: ids, cosines and sines per frame, masks per window, a row of the
 * batch for each plan. Buffers are kept from step to step, so that decoding allocates nothing that grows with the
 * window.
 */
import { freshMask, MASKED, type Plan, segmentMask } from "@tok/kv-cache";
import { type RopeFrequencies, ropeAngles } from "@tok/rope";
import type { Tensor } from "@tok/runtime";
import type { Counting } from "./attention-mass.ts";
import { ChoiceFeeds, type Choosing } from "./choice-feeds.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { decoderInputs } from "./decoder-inputs.ts";
import { archiveOf, framesOf, type GraphSegment, isCounted } from "./graph-segments.ts";
import type { Choosers, HeldChoice } from "./held-choice.ts";
import { integers } from "./host-tensors.ts";

/** One session's row of a batch. All rows of a batch read equally many tokens. */
export interface StepRow {
	readonly plan: Plan;
	/** The plan's `read` tokens. */
	readonly ids: readonly number[];
	/** Of `config.ropes`, as long a context as the session's in mind. */
	readonly ropes: readonly RopeFrequencies[];
	/** What was chosen before and holds, and who chooses anew. Defaults to each token for itself. */
	readonly held?: HeldChoice | undefined;
	readonly choosers?: Choosers | undefined;
}

/** How a step is read, where it has an archive, or its attention is counted or told. */
export interface StepOptions {
	/** Who chooses the blocks that are recalled. Defaults to each token for itself. */
	readonly choosing?: Choosing;
	/** Defaults to all tokens together. */
	readonly counting?: Counting;
	/** The tokens whose attention is told; undefined for a graph that tells of none. */
	readonly attended?: readonly number[] | undefined;
}

export class StepFeeds {
	/** Indices of the rotations that layers use. */
	readonly #ropes: readonly number[];
	readonly #frames: ReadonlyMap<number, readonly number[]>; // rope → frames
	readonly #windows: readonly (number | undefined)[];
	readonly #scratch = new Map<string, Float32Array>();
	/** The segment of which blocks are recalled; −1 for none. */
	readonly #archive: number;
	readonly #choices: ChoiceFeeds | undefined;
	readonly #counted: boolean;

	/** @param segments Those of the graph that is fed. */
	constructor(config: DecoderConfig, segments: readonly GraphSegment[]) {
		const frames = (rope: number): readonly number[] => framesOf(segments, rope, config.layers);
		this.#archive = archiveOf(segments);
		this.#counted = isCounted(segments);
		const { recall } = segments[this.#archive] ?? {};
		this.#choices = recall && new ChoiceFeeds(recall, config);
		this.#ropes = [...new Set(config.layers.flatMap(({ rope }) => rope ?? []))];
		this.#frames = new Map(this.#ropes.map((rope) => [rope, frames(rope)]));
		this.#windows = [...new Set(config.layers.map(({ window }) => window))];
	}

	/**
	 * The feeds of one step; they hold until the next call. `slots` are those of the buffers, per segment. A row that
	 * is undefined is computed with the others and means nothing: it sees itself alone.
	 *
	 * @param logitRows The tokens, counted through the batch, whose logits are wanted.
	 */
	of(
		rows: readonly (StepRow | undefined)[],
		slots: readonly number[],
		logitRows: readonly number[],
		{ choosing = "each", counting = { from: 0, apart: false }, attended }: StepOptions = {},
	): Record<string, Tensor> {
		const tokens = rows.find((row) => row !== undefined)?.plan.read ?? 1;
		const dims = [rows.length, tokens];
		const ids = rows.flatMap((row) => row?.ids ?? new Array<number>(tokens).fill(0));
		const feeds: Record<string, Tensor> = {
			[decoderInputs.ids]: integers(dims, ids),
			[decoderInputs.logitRows]: integers([logitRows.length], logitRows),
		};
		if (attended !== undefined) feeds[decoderInputs.attentionRows] = integers([attended.length], attended);
		if (this.#ropes.length > 0) feeds[decoderInputs.angleRows] = integers(dims, [...ids.keys()]);
		for (const rope of this.#ropes) this.#angles(feeds, rows, rope, tokens);
		for (const window of this.#windows) this.#masks(feeds, rows, slots, { tokens, window });
		if (this.#counted) feeds[decoderInputs.countedTokens] = countedTokens(tokens, counting);
		const archive = slots[this.#archive];
		if (archive === undefined || this.#choices === undefined) return feeds;
		const all = choosing === "each" ? [...Array(tokens).keys()] : [0];
		const choosingRows = rows.map((row) => {
			const view = row?.plan.segments[this.#archive];
			const { held, choosers = { keeping: 0, made: all } } = row ?? {};
			return view && { view, held, choosers };
		});
		return Object.assign(feeds, this.#choices.of({ rows: choosingRows, tokens, slots: archive, choosing }));
	}

	#angles(
		feeds: Record<string, Tensor>,
		rows: readonly (StepRow | undefined)[],
		rope: number,
		tokens: number,
	): void {
		const width = rows.find((row) => row !== undefined)?.ropes[rope]?.inverseFrequencies.length ?? 0;
		for (const frame of this.#frames.get(rope) ?? []) {
			const cos = this.#floats(decoderInputs.cos(rope, frame), [rows.length * tokens, width]);
			const sin = this.#floats(decoderInputs.sin(rope, frame), [rows.length * tokens, width]);
			rows.forEach((row, i) => {
				const part = (data: Float32Array): Float32Array =>
					data.subarray(i * tokens * width, (i + 1) * tokens * width);
				if (row === undefined) {
					part(cos.data).fill(1);
					part(sin.data).fill(0);
				} else {
					const frequencies = row.ropes[rope] as RopeFrequencies;
					const angles = { cos: part(cos.data), sin: part(sin.data) };
					ropeAngles(frequencies, framePositions(row.plan, frame), angles);
				}
			});
			feeds[decoderInputs.cos(rope, frame)] = cos;
			feeds[decoderInputs.sin(rope, frame)] = sin;
		}
	}

	#masks(
		feeds: Record<string, Tensor>,
		rows: readonly (StepRow | undefined)[],
		slots: readonly number[],
		{ tokens, window }: { readonly tokens: number; readonly window: number | undefined },
	): void {
		const own = window === undefined ? {} : { window };
		for (let part = 0; part <= slots.length; part++) {
			if (part === this.#archive) continue;
			const columns = slots[part] ?? tokens;
			const name = decoderInputs.mask(window, part);
			const mask = this.#floats(name, [rows.length, 1, 1, tokens, columns]);
			rows.forEach((row, i) => {
				const out = mask.data.subarray(i * tokens * columns, (i + 1) * tokens * columns);
				const view = row?.plan.segments[part];
				if (row === undefined) out.fill(part < slots.length ? MASKED : 0);
				else if (view === undefined) freshMask(row.plan, out, own);
				else segmentMask(view, out, { ...own, slots: columns });
			});
			feeds[name] = mask;
		}
	}

	#floats(name: string, dims: readonly number[]): Tensor<"float32"> {
		const length = dims.reduce((product, dim) => product * dim, 1);
		let data = this.#scratch.get(name);
		if (data?.length !== length) {
			data = new Float32Array(length);
			this.#scratch.set(name, data);
		}
		return { dtype: "float32", dims, data };
	}
}

/** [rows, tokens] */
function countedTokens(tokens: number, { from, apart }: Counting): Tensor<"float32"> {
	const rows = apart ? tokens : 1;
	const data = Float32Array.from({ length: rows * tokens }, (_, i) => {
		const token = i % tokens;
		return Number(token >= from && (!apart || token === Math.floor(i / tokens)));
	});
	return { dtype: "float32", dims: [rows, tokens], data };
}

/** Query positions of a frame; the last is that of the fresh keys. See `framesOf`. */
function framePositions({ segments, fresh }: Plan, frame: number): Float64Array {
	return segments.slice(0, -1)[frame]?.queryPositions ?? fresh.positions;
}
