/** What the package shows to the outside. */
import { expect, test } from "vitest";
import * as lm from "./index.ts";

test("the exported names", () => {
	expect(Object.keys(lm).sort()).toMatchInlineSnapshot(`
		[
		  "TokError",
		  "cacheFolder",
		  "convCompressor",
		  "inspectArchive",
		  "inspectModel",
		  "inspectSession",
		  "knownMemoryHeads",
		  "knownModels",
		  "loadModel",
		  "loadTokenizer",
		  "quantizeModel",
		  "quantizeTypes",
		  "removeStoredModel",
		  "resolveModel",
		  "storedModels",
		]
	`);
});
