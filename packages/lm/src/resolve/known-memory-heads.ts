/** Key/value heads that fetch facts from afar, of models for which `tok eval heads` has found them. Data, mostly. */
import type { KvPart } from "@tok/runtime";
import { type ModelSource, nameOf } from "../model-files.ts";

/** Layer and head, the best first. */
const known: readonly (readonly [name: RegExp, heads: string])[] = [
	[/smollm2-135m/i, "17.1 20.1 21.2 18.2 14.1 15.2 8.0 17.0 6.0 20.2 7.2 23.0 21.0 14.0"],
];

/**
 * The heads of a model of this name or path that fetch a fact which is asked for in its own words: at a fraction of
 * the cost nearly as well as all of them, and better among very many tokens. Asked for otherwise they find less
 * (docs/memory.md), so they are nobody's default. For `loadModel`'s `memoryHeads`, layers ascending. Undefined when nobody
 * has measured them.
 */
export function knownMemoryHeads(source: ModelSource): readonly KvPart[] | undefined {
	const heads = known.find(([name]) => name.test(nameOf(source)))?.[1];
	if (heads === undefined) return undefined;
	const byLayer = new Map<number, number[]>();
	for (const pair of heads.split(" ")) {
		const [layer, head] = pair.split(".").map(Number) as [number, number];
		byLayer.set(
			layer,
			[...(byLayer.get(layer) ?? []), head].sort((a, b) => a - b),
		);
	}
	return [...byLayer].sort(([a], [b]) => a - b).map(([layer, heads]) => ({ layer, heads }));
}
