/** Models whose heads are known. */
import { expect, test } from "vitest";
import { memoryHeadsOf } from "./memory-heads.ts";

test("heads that remember are known by the model's name", () => {
	expect(
		memoryHeadsOf("/models/smollm2-135m.gguf")?.reduce((sum, { heads }) => sum + (heads?.length ?? 0), 0),
	).toBe(14);
	expect(memoryHeadsOf("other.gguf")).toBeUndefined();
});
