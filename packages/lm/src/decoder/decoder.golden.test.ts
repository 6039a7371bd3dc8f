/** Every architecture against transformers' logits on a small random model: goldens/lm-tiny. */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dense } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";

const folder = fileURLToPath(new URL("../../../../goldens/lm-tiny/", import.meta.url));
const ATOL = 1e-4;
const RTOL = 1e-4;

describe.each(readdirSync(folder))("%s", (name) => {
	let runtime: Runtime;
	let engine: DecoderEngine;
	const { file, ...decoder } = openTransformersDecoder(`${folder}/${name}`);
	const golden = openTensorFile(`${folder}/${name}/io.safetensors`);
	const [rows = 0, length = 0, vocabulary = 0] = golden.tensors.get("logits")?.dims ?? [];
	const ids = new BigInt64Array(golden.readBytes("input_ids").buffer);
	const logits = golden.read("logits");

	beforeAll(() => {
		runtime = cpu({ threads: 1 });
		engine = new DecoderEngine({ ...decoder, precision: "exact", runtime });
	});

	afterAll(async () => {
		await runtime.dispose();
		golden.close();
		file.close();
	});

	test.each([1, 7, 96])("logits equal transformers', read in chunks of %i", async (chunk) => {
		let worst = 0;
		for (let row = 0; row < rows; row++) {
			const state = DecoderState.create(engine, [dense()], "in-cache");
			const stream = Array.from(ids.subarray(row * length, (row + 1) * length), Number);
			for (let from = 0; from < length; ) {
				const { take, logits: got } = await state.read(stream, { from, to: length, chunk, scored: "all" });
				const want = logits.subarray((row * length + from) * vocabulary);
				for (let i = 0; i < take * vocabulary; i++) {
					const expected = want[i] as number;
					worst = Math.max(
						worst,
						Math.abs((got[i] as number) - expected) / (ATOL + RTOL * Math.abs(expected)),
					);
				}
				from += take;
			}
			state.dispose();
		}
		expect(worst).toBeLessThanOrEqual(1);
	});
});
