/** What the package shows to the outside. */
import { expect, test } from "vitest";
import * as evaluations from "./index.ts";

test("the exported names", () => {
	expect(Object.keys(evaluations).sort()).toMatchInlineSnapshot(`
		[
		  "blockInterval",
		  "comparePerplexity",
		  "needle",
		  "rankMemoryHeads",
		  "streamEval",
		  "wilsonInterval",
		]
	`);
});
