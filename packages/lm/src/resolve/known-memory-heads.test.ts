/** Models whose heads are known. */
import { expect, test } from "vitest";
import { knownMemoryHeads } from "./known-memory-heads.ts";

test("heads that remember are known by the model's name", () => {
	const heads = knownMemoryHeads("smollm2-135m");
	expect(heads?.map(({ layer, heads }) => `${layer}.${heads}`).join(" ")).toBe(
		"6.0 7.2 8.0 14.0,1 15.2 17.0,1 18.2 20.1,2 21.0,2 23.0",
	);
	expect(knownMemoryHeads("/models/SmolLM2-135M-Instruct.Q4_1.gguf")).toEqual(heads);
	expect(knownMemoryHeads(new File([], "smollm2-135m.gguf"))).toEqual(heads);
	expect(knownMemoryHeads("other.gguf")).toBeUndefined();
});
