/** What a graph has to know of a policy's segments, and how such graphs are told apart. */
import type { KvFormat, KvPart } from "@tok/runtime";
import type { LayerKind } from "../architectures/architecture.ts";

export interface GraphSegment {
	readonly format: KvFormat;
	/** Present where a query sees only some blocks of the segment. */
	readonly recall?: Recall;
	/** The graph reports the attention that falls on it, and on the fresh tokens. Of the last segment alone. */
	readonly counted?: boolean;
}

export interface Recall {
	/** Blocks that a choice takes. */
	readonly blocks: number;
	/** Entries of a block. */
	readonly blockSize: number;
	/** Heads that remember, of layers without a window of their own. */
	readonly parts: readonly KvPart[];
	/** Queries choose as they are once rotated. */
	readonly rotated: boolean;
	/** Choices may hold for several tokens. */
	readonly keeps: boolean;
	/** Choices that a step makes at the least, though none be needed. */
	readonly leastMade: 0 | 1;
}

/** Equal for equal graphs: "3 segments, 1 and 2 int8, recalling 8x16 in 1 by 14.0,1 17.1, counted". */
export function describeSegments(segments: readonly GraphSegment[]): string {
	const formats = (["float16", "int8"] as const).map((format) => {
		const kept = [...segments.keys()].filter((segment) => segments[segment]?.format === format);
		return kept.length === 0 ? "" : `, ${kept.join(" and ")} ${format}`;
	});
	const recalls = segments.map(({ recall }, segment) => {
		if (recall === undefined) return "";
		const { blocks, blockSize, parts, rotated, keeps } = recall;
		const heads = parts.map(({ layer, heads }) => `${layer}.${heads.join()}`).join(" ");
		return `, recalling ${blocks}x${blockSize} in ${segment} by ${heads}${rotated ? ", rotated" : ""}${keeps ? ", kept" : ""}`;
	});
	const counted = isCounted(segments) ? ", counted" : "";
	return `${segments.length} segments${formats.join("")}${recalls.join("")}${counted}`;
}

/** Whether the graph reports the attention that falls on the window. */
export function isCounted(segments: readonly GraphSegment[]): boolean {
	return segments.at(-1)?.counted === true;
}

/** The segment of which blocks are recalled; −1 for none. */
export function archiveOf(segments: readonly GraphSegment[]): number {
	return segments.findIndex(({ recall }) => recall !== undefined);
}

/** In how many heads layers remember: each number once. */
export function headCounts(parts: readonly KvPart[]): readonly number[] {
	return [...new Set(parts.map(({ heads }) => heads.length))];
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
): readonly number[] {
	return Array.from({ length: freshFrame(segments) + 1 }, (_, frame) => frame).filter((frame) => {
		const recall = segments[frame]?.recall;
		return recall === undefined || recall.parts.some(({ layer }) => layers[layer]?.rope === rope);
	});
}
