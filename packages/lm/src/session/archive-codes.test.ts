/** Archive files in 8 and in 4 bits, on a tiny model: S37 of SPEC.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { afterAll, describe, expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Model, Precision, SaveArchiveOptions } from "../model.ts";
import { Random } from "../sampling/random.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import { rowCodecs } from "./archive-codes.ts";
import { inspectArchive, openArchive } from "./archive-file.ts";

const { folder, runtime, model } = await openTinyModel();
const fast = await loadModel(folder, { runtime, precision: "fast" });
const policy = parsePolicy("sink:4,memory:64/2x8,rolling:28");
const book = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";

afterAll(() => fast.dispose());

const modelIn = (precision: Precision): Model => (precision === "fast" ? fast : model);

async function saved(
	precision: Precision,
	name: string,
	options?: SaveArchiveOptions,
): Promise<{ path: string; bytes: number; tokens: number }> {
	const session = modelIn(precision).createSession({ policy, chunk: 1 });
	await session.append(book);
	const path = join(folder, name);
	const { bytes, tokens } = await session.saveArchive(path, options);
	session.dispose();
	return { path, bytes, tokens };
}

async function rowsOf(path: string): Promise<Float32Array[]> {
	const archive = await openArchive(path);
	const rows = [...archive.blocks()];
	archive.close();
	return rows;
}

/** Of a key, and of a value, half a step over the largest magnitude. */
const HALF_A_STEP = { key: 1 / 254, value: 1 / 126 };

describe("rows in 8 bits", () => {
	const { headDim, count } = { headDim: 16, count: 4000 };
	// Two layers, the second of which has more heads.
	const keys = [500, 1500];
	const half = (row: number): number =>
		row < 500 || (row >= 1000 && row < 2500) ? HALF_A_STEP.key : HALF_A_STEP.value;
	const random = new Random(7);
	const rows = Float32Array.from({ length: count * headDim }, (_, i) => {
		const magnitude = 2 ** ((Math.floor(i / headDim) % 60) - 30);
		return i < headDim ? 0 : (random.uniform() - 0.5) * magnitude;
	});
	const { bytes: codedBytes, encode, decode } = rowCodecs.int8;
	const encodeRows = (rows: Float32Array, headDim: number) => encode(rows, headDim, keys);
	const decodeRows = (bytes: Uint8Array, headDim: number) => decode(new Uint8Array(bytes), headDim);
	const decoded = decodeRows(encodeRows(rows, headDim), headDim);

	test("are within half a scale, a 254th of a key's largest magnitude and a 126th of a value's", () => {
		expect(encodeRows(rows, headDim)).toHaveLength(codedBytes(count, headDim));
		for (let row = 0; row < count; row++) {
			const own = rows.subarray(row * headDim, (row + 1) * headDim);
			const most = Math.max(...own.map(Math.abs));
			own.forEach((x, i) => {
				const error = Math.abs((decoded[row * headDim + i] as number) - x);
				expect(error).toBeLessThanOrEqual(most * half(row) * 1.01);
			});
		}
	});

	test("have codes up to 127 in keys, and up to 63 in values", () => {
		const codes = new Int8Array(encodeRows(rows, headDim).buffer, 0, rows.length);
		const largest = (row: number): number =>
			codes
				.subarray(row * headDim, (row + 1) * headDim)
				.reduce((most, code) => Math.max(most, Math.abs(code)), 0);
		expect([1, 499, 500, 999, 1000, 2499, 2500, 3999].map(largest)).toEqual([
			127, 127, 63, 63, 127, 127, 63, 63,
		]);
	});

	test("are what they were, bit for bit, when they come from there", () => {
		expect(decodeRows(encodeRows(decoded, headDim), headDim)).toEqual(decoded);
		expect(encodeRows(decoded, headDim)).toEqual(encodeRows(rows, headDim));
	});
});

describe.each([16, 24, 64, 96, 2])("rows of %i numbers in 4 bits", (headDim) => {
	const { bytes, encode, decode } = rowCodecs.int4;
	const count = 500;
	const random = new Random(headDim);
	const rows = Float32Array.from({ length: count * headDim }, (_, i) => {
		const row = Math.floor(i / headDim);
		// One channel in eight is large, as in keys.
		return row === 0 ? 0 : (random.uniform() - 0.5) * 2 ** ((row % 12) - 6) * (i % 8 === 3 ? 20 : 1);
	});
	const coded = new Uint8Array(encode(rows, headDim, [count / 2]));
	const decoded = decode(coded, headDim);
	const length = (of: Float32Array): number => Math.sqrt(of.reduce((sum, x) => sum + x * x, 0));

	test("take half a byte a number, and two bytes a row", () => {
		expect(coded).toHaveLength(count * (headDim / 2 + 2));
		expect(bytes(count, headDim)).toBe(coded.length);
	});

	test("are near what they were, a row of zeros the same", () => {
		let worst = 0;
		for (let row = 0; row < count; row++) {
			const [own, got] = [rows, decoded].map((all) => all.subarray(row * headDim, (row + 1) * headDim));
			const error = length((own as Float32Array).map((x, i) => x - (got?.[i] as number)));
			// Turning keeps lengths; each turned number errs by half a step, an eighth of the largest, and the one that is the
			// largest's opposite by a whole.
			const limit = length(own as Float32Array) * (Math.sqrt(headDim) / 16 + 1 / 8) * 1.01;
			expect(error).toBeLessThanOrEqual(limit);
			worst = Math.max(worst, error / Math.max(length(own as Float32Array), 1e-9));
		}
		if (headDim >= 16) expect(worst).toBeLessThan(0.3);
		expect(decoded.subarray(0, headDim)).toEqual(new Float32Array(headDim));
	});

	test("are what they were, bit for bit, when they come from there", () => {
		expect(new Uint8Array(encode(decoded, headDim, [count / 2]))).toEqual(coded);
	});
});

describe("S37: the format of an archive file", () => {
	test("is 8 bits in fast: a code for each number, a scale for each entry and head, an id for each token", async () => {
		const { path, bytes, tokens } = await saved("fast", "fast.tokmem");
		const { layers, kvHeads, headDim } = modelIn("fast").info;
		expect(await inspectArchive(path)).toMatchObject({ format: "int8", bytes, tokens });
		const ofTokens = tokens * (4 + layers * kvHeads * 2 * (headDim + 4));
		expect(bytes - ofTokens).toBeGreaterThan(0);
		expect(bytes - ofTokens).toBeLessThan(500);
	});

	test("an 8-bit archive is restored bit for bit: it is saved again as the same file, and asked alike", async () => {
		const { path } = await saved("fast", "fast.tokmem");
		const model = modelIn("fast");
		const session = await model.createSessionWithArchive(path, { policy });
		const again = join(folder, "again.tokmem");
		await session.saveArchive(again);
		expect(Buffer.compare(readFileSync(again), readFileSync(path))).toBe(0);
		// A float32 file of the same session holds what its codes mean.
		const wide = await saved("fast", "wide.tokmem", { format: "float32" });
		expect((await inspectArchive(wide.path)).format).toBe("float32");
		const archived = 88 - 28 - 4 - ((88 - 28 - 4) % 8);
		const [rows, widest] = [await rowsOf(path), await rowsOf(wide.path)];
		expect(rows.slice(0, archived / 8 - 2)).toEqual(widest.slice(0, archived / 8 - 2));
		const answers = await Promise.all(
			[path, again, wide.path].map(async (from) => {
				const asked = await model.createSessionWithArchive(from, { policy, chunk: 1 });
				const prompt = "Who came home?";
				return collect(asked.generate({ prompt, temperature: 0, maxTokens: 20, logprobs: 1 }));
			}),
		);
		expect(answers[1]).toEqual(answers[0]);
		expect(answers[2]).toEqual(answers[0]);
	});

	test("a float32 archive takes an 8-bit file to within half a scale", async () => {
		const [exact, coded] = [
			await saved("exact", "exact.tokmem"),
			await saved("exact", "coded.tokmem", { format: "int8" }),
		];
		expect((await inspectArchive(exact.path)).format).toBe("float32");
		expect(coded.bytes).toBeLessThan(exact.bytes / 2.5);
		const { headDim, kvHeads } = modelIn("exact").info;
		const keys = kvHeads * 8; // of a block in a layer
		const want = await rowsOf(exact.path);
		const got = await rowsOf(coded.path);
		expect(got).not.toEqual(want);
		got.forEach((rows, block) => {
			rows.forEach((x, i) => {
				const first = i - (i % headDim);
				const row = (want[block] as Float32Array).subarray(first, first + headDim);
				const most = Math.max(...row.map(Math.abs));
				const { key, value } = HALF_A_STEP;
				const half = Math.floor(first / headDim / keys) % 2 === 0 ? key : value;
				expect(Math.abs(x - (row[i - first] as number))).toBeLessThanOrEqual(most * half * 1.01);
			});
		});
		// What the session then holds is what the file says: it goes into a float32 file as it came.
		const session = await modelIn("exact").createSessionWithArchive(coded.path, { policy });
		const again = join(folder, "again.tokmem");
		await session.saveArchive(again);
		expect(await rowsOf(again)).toEqual(got);
	});

	test.each(["exact", "fast"] as const)("is 4 bits where that is asked for, in %s", async (precision) => {
		const wide = await saved(precision, "wide.tokmem", { format: "float32" });
		const { path, bytes, tokens } = await saved(precision, "narrow.tokmem", { format: "int4" });
		const { layers, kvHeads, headDim } = modelIn(precision).info;
		expect(await inspectArchive(path)).toMatchObject({ format: "int4", bytes, tokens });
		const ofTokens = tokens * (4 + layers * kvHeads * 2 * (headDim / 2 + 2));
		expect(bytes - ofTokens).toBeGreaterThan(0);
		expect(bytes - ofTokens).toBeLessThan(500);
		const [want, got] = [await rowsOf(wide.path), await rowsOf(path)];
		const square = (of: readonly Float32Array[]): number =>
			of.reduce((sum, rows) => rows.reduce((sum, x) => sum + x * x, sum), 0);
		const differences = got.map((rows, block) => rows.map((x, i) => x - (want[block]?.[i] as number)));
		expect(square(differences)).toBeGreaterThan(0);
		expect(Math.sqrt(square(differences) / square(want))).toBeLessThan(0.12);
		// A session holds what the file says, as near as its own format is.
		const session = await modelIn(precision).createSessionWithArchive(path, { policy });
		const again = join(folder, "again.tokmem");
		await session.saveArchive(again, { format: "float32" });
		const held = await rowsOf(again);
		const rounding = held.map((rows, block) => rows.map((x, i) => x - (got[block]?.[i] as number)));
		expect(Math.sqrt(square(rounding) / square(got))).toBeLessThan(precision === "exact" ? 1e-12 : 0.01);
		if (precision === "fast") return;
		await session.saveArchive(again, { format: "int4" });
		expect(Buffer.compare(readFileSync(again), readFileSync(path))).toBe(0);
	});

	test("of a file of version 1, which says none, is float32", async () => {
		const { path } = await saved("exact", "new.tokmem");
		const old = join(folder, "old.tokmem");
		const whole = readFileSync(path);
		expect(sealedHeader(whole)).toMatchObject({ version: 2, format: "float32" });
		writeFileSync(old, resealed(whole, { version: undefined, format: undefined }));
		expect(await inspectArchive(old)).toMatchObject({ format: "float32", tokens: 64 });
		expect(await rowsOf(old)).toEqual(await rowsOf(path));
		const session = await modelIn("exact").createSessionWithArchive(old, { policy });
		expect(session.stats.attached).toBe(64);
	});

	test("and the version of a file are checked, and so is the format that is asked for", async () => {
		const whole = readFileSync((await saved("fast", "fast.tokmem")).path);
		const path = join(folder, "altered.tokmem");
		for (const change of [
			{ format: "int4" },
			{ format: "int2" },
			{ format: "toString" },
			{ format: undefined },
			{ format: "float32" },
			{ version: 1.5 },
			{ version: "2", format: null },
		]) {
			writeFileSync(path, resealed(whole, change));
			await expect(openArchive(path)).rejects.toThrow(/lacks a field|not as long as its header says/);
		}
		writeFileSync(path, resealed(whole, { version: 3 }));
		await expect(inspectArchive(path)).rejects.toThrow(
			`[tok/lm] ${path}: expected an archive file of version 1 to 2, got 3. Update tok, or read the text again and save its archive.`,
		);
		await expect(saved("fast", "none.tokmem", { format: "int2" as "int8" })).rejects.toThrow(
			'[tok/lm] saveArchive: expected the format "int4", "int8" or "float32", got "int2". Leave it out for what the precision has.',
		);
	});
});
