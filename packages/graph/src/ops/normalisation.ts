/**
 * Layer normalisation, and the root-mean-square kind that Llama uses. LayerNormalization is an ONNX operator;
 * SimplifiedLayerNormalization is onnxruntime's, in the ONNX domain all the same; SkipSimplifiedLayerNormalization is
 * in com.microsoft (onnxruntime, docs/ContribOperators.md).
 */
import { formatShape, sameShape } from "../dimension.ts";
import { GraphError } from "../errors.ts";
import type { Float, Value } from "../types.ts";
import { axisOf, describe, emit, emitAll, requireDType, requireShape, sameDType } from "./emit.ts";

export interface NormalisationOptions {
	/** Added to the variance or mean square; models differ, so it has no default. */
	readonly epsilon: number;
	/** First of the axes that are normalised together. Defaults to −1. */
	readonly axis?: number;
}

export interface LayerNormalizationOptions<D extends Float> extends NormalisationOptions {
	/** Added after scaling, [...normalised axes]. Defaults to none. */
	readonly bias?: Value<D> | undefined;
}

/** (x − mean) / √(variance + epsilon) · scale + bias, over the axes from `axis` on; scale [...normalised axes]. */
export function layerNormalization<D extends Float>(
	x: Value<D>,
	scale: Value<NoInfer<D>>,
	{ epsilon, axis = -1, bias }: LayerNormalizationOptions<NoInfer<D>>,
): Value<D> {
	const op = "LayerNormalization";
	const first = checkNormalisation(op, x, scale, axis);
	if (bias !== undefined) {
		sameDType(op, [x, bias]);
		requireShape(op, "a bias", bias, x.shape.slice(first));
	}
	return emit(x.graph, op, [x, scale, bias], x, { attributes: { axis: first, epsilon: { float: epsilon } } });
}

/** x / √(mean(x²) + epsilon) · scale, over the axes from `axis` on: RMSNorm (Zhang & Sennrich 2019). */
export function simplifiedLayerNormalization<D extends Float>(
	x: Value<D>,
	scale: Value<NoInfer<D>>,
	{ epsilon, axis = -1 }: NormalisationOptions,
): Value<D> {
	const op = "SimplifiedLayerNormalization";
	const first = checkNormalisation(op, x, scale, axis);
	return emit(x.graph, op, [x, scale], x, { attributes: { axis: first, epsilon: { float: epsilon } } });
}

export interface SkipNormalisationOptions<D extends Float> {
	/** Added to the mean square; models differ, so it has no default. */
	readonly epsilon: number;
	/** [hidden], added to the sum. Defaults to none. */
	readonly bias?: Value<D> | undefined;
}

/** sum = x + skip + bias and output = RMSNorm(sum) · scale, in one node; x and skip [(batch,) tokens, hidden]. */
export function skipSimplifiedLayerNormalization<D extends Float>(
	x: Value<D>,
	skip: Value<NoInfer<D>>,
	scale: Value<NoInfer<D>>,
	{ epsilon, bias }: SkipNormalisationOptions<NoInfer<D>>,
): { readonly output: Value<D>; readonly sum: Value<D> } {
	const op = "SkipSimplifiedLayerNormalization";
	checkNormalisation(op, x, scale, -1);
	sameDType(op, [x, skip]);
	if ((x.shape.length !== 2 && x.shape.length !== 3) || !sameShape(x.shape, skip.shape)) {
		throw x.graph.error(
			op,
			`expected x and skip of one shape with 2 or 3 axes, got ${formatShape(x.shape)} and ${formatShape(skip.shape)}`,
		);
	}
	if (bias !== undefined) requireShape(op, "a bias", bias, x.shape.slice(-1));
	const [output, sum] = emitAll(
		x.graph,
		op,
		[x, skip, scale, bias],
		// The second and third outputs are the mean and its inverse deviation, for training.
		[x, undefined, undefined, x],
		{ domain: "com.microsoft", attributes: { epsilon: { float: epsilon } } },
	);
	if (output === undefined || sum === undefined) throw new GraphError(`internal: ${op} without its outputs`);
	return { output, sum };
}

function checkNormalisation(op: string, x: Value, scale: Value, axis: number): number {
	requireDType(op, "x", x, "float32", "float16");
	sameDType(op, [x, scale]);
	const first = axisOf(x, axis, op);
	if (!sameShape(scale.shape, x.shape.slice(first))) {
		throw x.graph.error(
			op,
			`expected a scale of shape ${formatShape(x.shape.slice(first))} for ${describe(x)}, got ${describe(scale)}`,
		);
	}
	return first;
}
