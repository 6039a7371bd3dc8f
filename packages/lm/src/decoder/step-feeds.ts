/**
 * Turns a plan into what the decoder's graph reads: ids, cosines and sines per frame, masks per window.
 * Buffers are kept from step to step, so that decoding allocates nothing that grows with the window.
 */
import { freshMask, type MaskOptions, type Plan, segmentMask } from "@tok/kv-cache";
import { type RopeFrequencies, ropeAngles } from "@tok/rope";
import type { Tensor } from "@tok/runtime";
import type { DecoderConfig } from "./decoder-config.ts";
import { decoderInputs } from "./decoder-inputs.ts";

export class StepFeeds {
	readonly #ropes: readonly (RopeFrequencies | undefined)[];
	readonly #windows: readonly (number | undefined)[];
	readonly #scratch = new Map<string, Float32Array>();

	/** `ropes` are the frequencies of `config.ropes`, as long a context as the session's in mind. */
	constructor(config: DecoderConfig, ropes: readonly RopeFrequencies[]) {
		const used = new Set(config.layers.map(({ rope }) => rope));
		this.#ropes = ropes.map((frequencies, rope) => (used.has(rope) ? frequencies : undefined));
		this.#windows = [...new Set(config.layers.map(({ window }) => window))];
	}

	/**
	 * The feeds of one step: `ids` are the plan's `read` tokens, `logitRows` those whose logits are wanted.
	 * They hold until the next call.
	 */
	of(plan: Plan, ids: readonly number[], logitRows: readonly number[]): Record<string, Tensor> {
		const { read } = plan;
		const feeds: Record<string, Tensor> = {
			[decoderInputs.ids]: integers([1, read], ids),
			[decoderInputs.logitRows]: integers([logitRows.length], logitRows),
		};
		if (this.#ropes.some((rope) => rope !== undefined))
			feeds[decoderInputs.angleRows] = integers([1, read], Array.from(ids.keys()));
		this.#ropes.forEach((frequencies, rope) => {
			if (frequencies === undefined) return;
			const { length } = frequencies.inverseFrequencies;
			framePositions(plan).forEach((positions, frame) => {
				const cos = this.#floats(decoderInputs.cos(rope, frame), [read, length]);
				const sin = this.#floats(decoderInputs.sin(rope, frame), [read, length]);
				ropeAngles(frequencies, positions, { cos: cos.data, sin: sin.data });
				feeds[decoderInputs.cos(rope, frame)] = cos;
				feeds[decoderInputs.sin(rope, frame)] = sin;
			});
		});
		for (const window of this.#windows) {
			const options: MaskOptions = window === undefined ? {} : { window };
			plan.segments.forEach((view, part) => {
				const mask = this.#floats(decoderInputs.mask(window, part), [1, 1, 1, read, view.slots]);
				segmentMask(view, mask.data, options);
				feeds[decoderInputs.mask(window, part)] = mask;
			});
			const name = decoderInputs.mask(window, plan.segments.length);
			const mask = this.#floats(name, [1, 1, 1, read, read]);
			freshMask(plan, mask.data, options);
			feeds[name] = mask;
		}
		return feeds;
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

/** Query positions of every frame; the last is that of the fresh keys. See `frameCount`. */
function framePositions({ segments, fresh }: Plan): readonly Float64Array[] {
	return [...segments.slice(0, -1).map(({ queryPositions }) => queryPositions), fresh.positions];
}

function integers(dims: readonly number[], values: readonly number[]): Tensor<"int64"> {
	return { dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) };
}
