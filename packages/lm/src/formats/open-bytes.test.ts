/** Streams as targets, Blobs as sources. */
import { TokError } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { collector } from "../testing/collector.ts";
import { openBytes, writeBytes } from "./open-bytes.ts";

const chunks = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)];

describe("writeBytes to a stream", () => {
	test("writes the chunks, closes it, and lets it go", async () => {
		const { stream, bytes, end } = collector();
		await writeBytes(stream, chunks);
		expect([...bytes()]).toEqual([1, 2, 3]);
		expect(end()).toBe("closed");
		expect(stream.locked).toBe(false);
	});

	test("gives it chunks of its own: the writer's may change", async () => {
		const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
		const whole = new Response(readable as ReadableStream<Uint8Array<ArrayBuffer>>).bytes();
		const buffer = new Uint8Array(1);
		function* counting(): Generator<Uint8Array> {
			for (buffer[0] = 1; buffer[0] < 9; buffer[0]++) yield buffer;
		}
		await writeBytes(writable, counting());
		expect([...(await whole)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
	});

	test("a failing source aborts it", async () => {
		const { stream, end } = collector();
		const reason = new TokError("lm", "no more");
		function* failing(): Generator<Uint8Array> {
			yield Uint8Array.of(1);
			throw reason;
		}
		await expect(writeBytes(stream, failing())).rejects.toBe(reason);
		expect(end()).toBe(reason);
		expect(stream.locked).toBe(false);
	});

	test("a failing stream ends it", async () => {
		const { stream } = collector(2);
		await expect(writeBytes(stream, chunks)).rejects.toThrow(
			"[tok/lm] target: the stream could not be written (no room); give another one.",
		);
	});

	test("an abort ends it with its reason, before the first chunk and after", async () => {
		const reason = new Error("enough");
		for (const when of [0, 1]) {
			const controller = new AbortController();
			if (when === 0) controller.abort(reason);
			const { stream, bytes, end } = collector();
			function* aborting(): Generator<Uint8Array> {
				yield Uint8Array.of(1);
				controller.abort(reason);
				yield Uint8Array.of(2);
				expect.fail("went on");
			}
			await expect(writeBytes(stream, aborting(), controller.signal)).rejects.toBe(reason);
			expect(end()).toBe(reason);
			expect(bytes().length).toBe(when === 0 ? 0 : 2);
		}
	});

	test("what cannot be written to is refused", async () => {
		const { stream } = collector();
		stream.getWriter();
		await expect(writeBytes(stream, chunks)).rejects.toThrow(/nothing else writes to, got a locked one/);
		await expect(writeBytes({} as WritableStream, chunks)).rejects.toThrow(/^\[tok\/lm\] target: .* object/);
	});
});

describe("openBytes of a Blob", () => {
	test("reads any part, until it is closed", async () => {
		const source = await openBytes(new Blob([Uint8Array.of(1, 2), Uint8Array.of(3)]));
		expect([source.path, source.size, source.stamp]).toEqual(["Blob", 3, undefined]);
		expect([...source.read(1, 2)]).toEqual([2, 3]);
		expect(source.read(1, 2).byteOffset).toBe(0);
		source.close();
		expect(() => source.read(0, 1)).toThrow(/Blob: expected an open file, but it has been closed/);
	});

	test("a File has its name, and a stamp of its size and time", async () => {
		const source = await openBytes(new File(["abc"], "a.bin", { lastModified: 17 }));
		expect([source.path, source.size, source.stamp]).toEqual(["a.bin", 3, "3 17"]);
	});

	test("one that cannot be read says so", async () => {
		const blob = new Blob(["x"]);
		blob.arrayBuffer = () => Promise.reject(new Error("it has gone"));
		await expect(openBytes(blob)).rejects.toThrow(
			/^\[tok\/lm\] Blob: the file could not be read into memory, 1 bytes \(it has gone\)/,
		);
	});

	test("anything else is refused", async () => {
		await expect(openBytes(new Uint8Array(1) as unknown as Blob)).rejects.toThrow(/got object/);
	});
});
