/** What is dropped, over entries as a browser gives them. */
import { expect, test } from "vitest";
import { droppedFiles, modelOf } from "./dropped-files.ts";

const file = (name: string) => ({
	isFile: true,
	isDirectory: false,
	file: (take: (file: File) => void) => take(new File([], name)),
});

/** Gives its entries a few at a time, as browsers do. */
function folder(...entries: unknown[]) {
	const batches = [entries.slice(0, 2), entries.slice(2), []];
	const readEntries = (take: (entries: unknown) => void): void => take(batches.shift());
	return { isFile: false, isDirectory: true, createReader: () => ({ readEntries }) };
}

function transfer(entry: unknown, files: readonly File[]): DataTransfer {
	return { items: [{ webkitGetAsEntry: () => entry }], files } as unknown as DataTransfer;
}

test("of a folder all its files, however they are handed out, and not those of folders within", async () => {
	const model = folder(
		file("config.json"),
		folder(file("inner.json")),
		file("a.safetensors"),
		file("b.safetensors"),
	);
	const files = await droppedFiles(
		transfer(model, [new File([], "the folder itself, which cannot be read")]),
	);
	expect(files.map(({ name }) => name)).toEqual(["config.json", "a.safetensors", "b.safetensors"]);
});

test("files as they are, and nothing of dropped text", async () => {
	const gguf = new File([], "model.gguf");
	expect(await droppedFiles(transfer(file("model.gguf"), [gguf]))).toEqual([gguf]);
	expect(await droppedFiles(transfer(null, []))).toEqual([]);
});

test("one file is a model by itself, several are a folder's", () => {
	const [first, second] = [new File([], "config.json"), new File([], "model.safetensors")];
	expect(modelOf([first])).toBe(first);
	expect(modelOf([first, second])).toEqual([first, second]);
});
