/** What a graph has to know of a policy's segments, and how such graphs are told apart. */
import type { Policy } from "@tok/kv-cache";
import type { LayerKind } from "../architectures/architecture.ts";

export interface GraphSegment {
	/** Present where a query sees only some blocks of the segment. */
	readonly recall?: Recall;
}

export interface Recall {
	/** Blocks that a choice takes. */
	readonly blocks: number;
	/** Entries of a block. */
	readonly blockSize: number;
}

/** The segments that a policy's plans have views of: none for `recompute`. */
export function graphSegments(policy: Policy): readonly GraphSegment[] {
	return policy
		.filter(({ kind }) => kind !== "recompute")
		.map(({ recall, takes }) =>
			recall === undefined || typeof takes !== "object"
				? {}
				: { recall: { blocks: recall, blockSize: takes.entries } },
		);
}

/** Equal for equal graphs: "3 segments, recalling 8x16 in 1 by layers 14 17 20". */
export function describeSegments(
	segments: readonly GraphSegment[],
	memoryLayers: readonly number[] = [],
): string {
	const recalls = segments.map(({ recall }, segment) =>
		recall === undefined
			? ""
			: `, recalling ${recall.blocks}x${recall.blockSize} in ${segment} by layers ${memoryLayers.join(" ")}`,
	);
	return `${segments.length} segments${recalls.join("")}`;
}

/** The frame of the fresh keys: the last segment's, which shares its own with them. */
export function freshFrame(segments: readonly GraphSegment[]): number {
	return Math.max(0, segments.length - 1);
}

/** Frames in which queries of a rope's layers are rotated: one per segment that any of them sees. */
export function framesOf(
	segments: readonly GraphSegment[],
	rope: number,
	layers: readonly LayerKind[],
	memoryLayers: readonly number[],
): readonly number[] {
	const remembering = memoryLayers.some((layer) => layers[layer]?.rope === rope);
	return Array.from({ length: freshFrame(segments) + 1 }, (_, frame) => frame).filter(
		(frame) => segments[frame]?.recall === undefined || remembering,
	);
}
