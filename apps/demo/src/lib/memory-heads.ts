/**
 * Heads that fetch facts from afar, for models of which they are known: a sixth of the archive's bytes, and nearly all
 * of what it finds (docs/memory.md). Others archive in all heads.
 */
import type { MemoryHeads } from "@tok/lm";

/** Layer and head, ranked by `tok eval heads`. */
const known: readonly (readonly [name: RegExp, heads: string])[] = [
	[/smollm2-135m/i, "17.1 20.1 21.2 18.2 14.1 15.2 8.0 17.0 6.0 20.2 7.2 23.0 21.0 14.0"],
];

export function memoryHeadsOf(source: string | Blob | readonly Blob[]): readonly MemoryHeads[] | undefined {
	const name = typeof source === "string" ? source : source instanceof File ? source.name : "";
	const heads = known.find(([pattern]) => pattern.test(name))?.[1];
	if (heads === undefined) return undefined;
	const byLayer = Map.groupBy(
		heads.split(" ").map((pair) => pair.split(".").map(Number) as [number, number]),
		([layer]) => layer,
	);
	return [...byLayer.entries()]
		.sort(([a], [b]) => a - b)
		.map(([layer, pairs]) => ({ layer, heads: pairs.map(([, head]) => head).sort((a, b) => a - b) }));
}
