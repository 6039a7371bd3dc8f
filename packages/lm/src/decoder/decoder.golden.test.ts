/** Every architecture against transformers' logits on a small random model: goldens/lm-tiny and lm-tiny-extra. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolling } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diskFolder } from "../formats/file-source.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { readGoldenLogits, worstError } from "../testing/golden-logits.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { DecoderEngine } from "./decoder-engine.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const extra = join(goldens, "lm-tiny-extra");

let runtime: Runtime;
beforeAll(() => {
	runtime = cpu({ threads: 1 });
});
afterAll(() => runtime.dispose());

/** Runs with a decoder of the folder, and closes its file. */
async function withDecoder(folder: string, use: (engine: DecoderEngine) => Promise<void>): Promise<void> {
	const { file, ...decoder } = openTransformersDecoder(diskFolder(folder));
	try {
		await use(new DecoderEngine({ ...decoder, precision: "exact", runtime }));
	} finally {
		file.close();
	}
}

const folders = ["lm-tiny", "lm-tiny-extra"].flatMap((set) =>
	readdirSync(join(goldens, set), { withFileTypes: true })
		.filter((entry) => entry.isDirectory() && entry.name !== "llama-dynamic")
		.map(({ name }) => [name, join(goldens, set, name)] as const),
);

describe.each(folders)("%s", (_, folder) => {
	const golden = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")));

	test.each([1, 7, 96])("logits equal transformers', read in chunks of %i", async (chunk) => {
		await withDecoder(folder, async (engine) => {
			expect(await worstError(engine, golden, { chunk })).toBeLessThanOrEqual(1);
		});
	});
});

describe("frequencies that depend on the length of the context", () => {
	test("longrope: a cache that stays within the trained context takes the short factors", async () => {
		const folder = join(extra, "phi3-longrope");
		const names = { ids: "short.input_ids", logits: "short.logits" };
		const golden = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")), names);
		await withDecoder(folder, async (engine) => {
			// 47 entries and the token itself are the 48 positions that the model was trained on.
			expect(await worstError(engine, golden, { policy: [rolling(47)] })).toBeLessThanOrEqual(1);
			expect(await worstError(engine, golden, { policy: [rolling(48)] })).toBeGreaterThan(100);
			expect(await worstError(engine, golden)).toBeGreaterThan(100);
		});
	});

	test("dynamic NTK: a bounded cache scales for as many positions as it has", async () => {
		const folder = join(extra, "llama-dynamic");
		const golden = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")));
		await withDecoder(folder, async (engine) => {
			// transformers scales for the 96 tokens that it reads at once; so do 95 entries and the token itself.
			for (const chunk of [1, 7, 96])
				expect(await worstError(engine, golden, { policy: [rolling(95)], chunk })).toBeLessThanOrEqual(1);
			// Any other cache is taken to be as long as the model's own context, where nothing is scaled.
			expect(await worstError(engine, golden)).toBeGreaterThan(100);
		});
	});
});
