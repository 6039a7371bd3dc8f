import {
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readlinkSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { encodeGguf } from "./gguf-writer.ts";
import { encodeSafetensors } from "./safetensors-writer.ts";
import type { TensorContent } from "./tensor-content.ts";

const folder = mkdtempSync(join(tmpdir(), "tok-open-"));
afterAll(() => rmSync(folder, { recursive: true }));

const three: TensorContent = {
	name: "x",
	type: "F32",
	dims: [1],
	data: new Uint8Array(Float32Array.of(3).buffer),
};

describe("openTensorFile", () => {
	test("looks at the content, not at the name", () => {
		const misnamed = join(folder, "weights.bin");
		writeFileSync(misnamed, encodeGguf({ values: new Map(), tensors: [three] }));
		using gguf = openTensorFile(misnamed);
		expect(gguf.read("x")[0]).toBe(3);
	});

	test("opens a folder with one safetensors file", () => {
		const single = join(folder, "single");
		mkdirSync(single);
		const golden = new URL("../../../../goldens/lm-tiny/llama/model.safetensors", import.meta.url);
		copyFileSync(fileURLToPath(golden), join(single, "model.safetensors"));
		using model = openTensorFile(single);
		expect(model.tensors.get("model.norm.weight")).toMatchObject({ type: "F32", dims: [64] });
	});

	test("an empty folder and a missing file", () => {
		const empty = join(folder, "empty");
		mkdirSync(empty);
		expect(() => openTensorFile(empty)).toThrow(
			/expected model\.safetensors\.index\.json or model\.safetensors in the/,
		);
		expect(() => openTensorFile(join(empty, "none"))).toThrow(/could not be opened \(ENOENT/);
	});
});

test("neither a closed file nor a refused one keeps a descriptor", ({ skip }) => {
	skip(!existsSync("/proc/self/fd"), "needs Linux's list of open files");
	const path = join(folder, "shards");
	mkdirSync(path);
	const index = join(path, "model.safetensors.index.json");
	writeFileSync(join(path, "a.safetensors"), encodeSafetensors({ tensors: [three] }));
	writeFileSync(join(path, "b.safetensors"), "damaged");
	writeFileSync(join(path, "c.gguf"), "GGUF, but damaged");

	writeFileSync(index, JSON.stringify({ weight_map: { x: "a.safetensors" } }));
	const file = openTensorFile(path);
	expect(openFiles()).toEqual([join(path, "a.safetensors")]);
	file.close();
	expect(openFiles()).toEqual([]);

	writeFileSync(index, JSON.stringify({ weight_map: { x: "a.safetensors", y: "b.safetensors" } }));
	expect(() => openTensorFile(path)).toThrow(/b\.safetensors/);
	expect(() => openTensorFile(join(path, "c.gguf"))).toThrow(/c\.gguf/);
	expect(openFiles()).toEqual([]);
});

/** The files of this test's folder that the process has open. */
function openFiles(): string[] {
	return readdirSync("/proc/self/fd")
		.flatMap((descriptor) => {
			try {
				return readlinkSync(join("/proc/self/fd", descriptor));
			} catch {
				// The descriptor of the listing itself is gone by now.
				return [];
			}
		})
		.filter((path) => path.startsWith(folder));
}
