import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.ts";
import { type Download, download } from "./download.ts";

const bytes = new Uint8Array(1_000_000).map((_, index) => (index * 2_654_435_761) >>> 13);
const sha256 = createHash("sha256").update(bytes).digest("hex");

let hub: FakeHub;
let folder: string;

beforeEach(async () => {
	hub = await startFakeHub();
	hub.files.set("o/r/f.gguf", bytes);
	folder = await mkdtemp(join(tmpdir(), "tok-download-"));
});

afterEach(async () => {
	await hub.close();
	await rm(folder, { recursive: true });
});

function task(changes: Partial<Download> = {}): Download {
	return {
		url: `${hub.url}/o/r/resolve/main/f.gguf`,
		target: join(folder, "f.gguf"),
		key: "k",
		size: bytes.length,
		sha256,
		fetch,
		retryDelay: 1,
		...changes,
	};
}

async function expectWhole(): Promise<void> {
	expect(Buffer.compare(await readFile(join(folder, "f.gguf")), bytes)).toBe(0);
	expect(await readdir(folder)).toEqual(["f.gguf"]);
}

test("fetches a file whole, with its bytes counted", async () => {
	const counts: number[] = [];
	await download(task({ onBytes: (loaded) => counts.push(loaded) }));
	await expectWhole();
	expect(counts.at(-1)).toBe(bytes.length);
	expect(counts).toEqual([...counts].sort((a, b) => a - b));
});

test("goes on where a broken connection stopped", async () => {
	hub.cuts.push(300_000, 200_000);
	await download(task());
	await expectWhole();
	expect(hub.requests).toHaveLength(3);
	expect(hub.requests[1]).toMatch(/ bytes=[1-9]\d*-$/);
});

test("gives up after three connections that bring nothing, and keeps what there is for the next call", async () => {
	hub.cuts.push(300_000, 0, 0, 0, 0);
	await expect(download(task())).rejects.toThrow(/\[tok\/lm\] http:.*What was fetched is kept; try again/);
	expect(await readdir(folder)).toEqual(["f.gguf.k.part"]);
	hub.cuts.length = 0;
	hub.requests.length = 0;
	await download(task());
	await expectWhole();
	expect(hub.requests[0]).toMatch(/ bytes=[1-9]\d*-$/);
});

test("starts over when the server does not know ranges", async () => {
	hub.cuts.push(300_000);
	hub.ignoreRange = true;
	await download(task());
	await expectWhole();
});

test("a part of other bytes is replaced: resumed, found wrong, fetched once more", async () => {
	await writeFile(join(folder, "f.gguf.k.part"), new Uint8Array(400_000));
	await download(task());
	await expectWhole();
});

test("a part under another key is left alone", async () => {
	await writeFile(join(folder, "f.gguf.other.part"), "x");
	await download(task());
	expect(await readdir(folder)).toEqual(["f.gguf", "f.gguf.other.part"]);
});

test("a part longer than the file begins anew", async () => {
	await writeFile(join(folder, "f.gguf.k.part"), new Uint8Array(bytes.length + 1));
	await download(task());
	await expectWhole();
});

test("wrong bytes are an error and leave nothing", async () => {
	const expected = "0".repeat(64);
	await expect(download(task({ sha256: expected }))).rejects.toThrow(
		`expected sha256 ${expected}, got other bytes`,
	);
	expect(await readdir(folder)).toEqual([]);
});

test("a server that sends more than it said is refused", async () => {
	await expect(download(task({ size: 1000 }))).rejects.toThrow("expected 1000 bytes, the server sends more");
});

test("a refusal is final; a busy server is asked again", async () => {
	hub.status = 403;
	await expect(download(task())).rejects.toThrow("answered 403");
	expect(hub.requests).toHaveLength(1);
	hub.status = 503;
	await expect(download(task())).rejects.toThrow("answered 503");
	expect(hub.requests).toHaveLength(4);
});

test("a connection without a byte counts as broken", async () => {
	hub.pieceDelay = 10_000;
	await expect(download(task({ stallTimeout: 50 }))).rejects.toThrow("no byte came");
});

test("an abort stops at once and keeps the part", async () => {
	hub.pieceDelay = 20;
	const controller = new AbortController();
	const reason = new Error("enough");
	const running = download(
		task({ signal: controller.signal, onBytes: (loaded) => loaded > 200_000 && controller.abort(reason) }),
	);
	await expect(running).rejects.toBe(reason);
	expect(await readdir(folder)).toEqual(["f.gguf.k.part"]);
	hub.pieceDelay = 0;
	await download(task());
	await expectWhole();
});

test("several at once end with one whole file", async () => {
	await writeFile(join(folder, "f.gguf.k.part"), bytes.subarray(0, 100_000));
	hub.pieceDelay = 1;
	await Promise.all([download(task()), download(task()), download(task())]);
	await expectWhole();
});

test("the part of a process that is gone is taken over, that of a living one is not", async () => {
	const host = hostname().replace(/[^A-Za-z0-9-]/g, "");
	const living = `f.gguf.k.${host}-${process.pid}-00000000.part`;
	// Linux gives out process numbers below 2²²; this one is nobody's.
	const gone = `f.gguf.k.${host}-99999999-00000000.part`;
	await writeFile(join(folder, living), "x");
	await writeFile(join(folder, gone), bytes.subarray(0, 500_000));
	await download(task());
	expect((await readdir(folder)).sort()).toEqual(["f.gguf", living]);
	expect(hub.requests).toEqual(["GET /o/r/resolve/main/f.gguf bytes=500000-"]);
});
