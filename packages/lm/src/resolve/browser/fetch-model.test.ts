/** Models that a browser fetches and keeps, over a fake hub and a fake storage; the real storage is tested in browsers. */
import { createHash } from "node:crypto";
import { TokError } from "@tok/runtime";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Progress } from "../../model.ts";
import { type FakeHub, startFakeHub } from "../testing/fake-hub.ts";
import { type FakeStorage, stubStorage } from "../testing/fake-storage.ts";
import { fetchFile } from "./fetch-file.ts";
import { type FetchOptions, fetchModel } from "./fetch-model.ts";
import { modelFolder } from "./model-folder.ts";
import { removeStoredModel, storedModels } from "./stored-models.ts";

const bytes = new Uint8Array(1_000_000).map((_, index) => (index * 2_654_435_761) >>> 13);
bytes.set(new TextEncoder().encode("GGUF"));
const other = bytes.map((byte, index) => (index < 4 ? byte : byte ^ 1));
const name = "hf:o/r/f.gguf";

let hub: FakeHub;
let options: FetchOptions;

beforeEach(async () => {
	hub = await startFakeHub();
	hub.files.set("o/r/f.gguf", bytes);
	options = { env: { HF_ENDPOINT: hub.url }, retryDelay: 1 };
});

afterEach(async () => {
	vi.unstubAllGlobals();
	await hub.close();
});

async function fetched(model = name, more: Partial<FetchOptions> = {}): Promise<Uint8Array> {
	const { files } = await fetchModel(model, { ...options, ...more });
	expect(files).toHaveLength(1);
	return new Uint8Array(await (files[0] as File).arrayBuffer());
}

async function expectWhole(model = name, expected = bytes): Promise<void> {
	expect(Buffer.compare(await fetched(model), expected)).toBe(0);
}

/** A connection that breaks for good after so many bytes. */
async function cutAfter(count: number): Promise<void> {
	hub.cuts.push(count, 0, 0, 0, 0);
	await expect(fetched()).rejects.toThrow(/^\[tok\/lm\] http:/);
	hub.cuts.length = 0;
	hub.requests.length = 0;
}

describe.each(["worker", "page"] as const)("in a %s", (kind) => {
	let storage: FakeStorage;
	beforeEach(() => {
		storage = stubStorage(kind);
	});

	test("what was fetched is kept: the next time nothing is asked", async () => {
		await expectWhole();
		expect(hub.requests).toEqual(["GET /o/r/resolve/main/f.gguf"]);
		await hub.close();
		await expectWhole();
		expect(storage.paths()).toHaveLength(2);
		hub = await startFakeHub();
	});

	test("progress tells the size before a byte has come, so that an app can abort", async () => {
		const seen: Progress[] = [];
		await fetched(name, { onProgress: (progress) => seen.push(progress) });
		expect(seen[0]).toEqual({ stage: "download", label: "o/r/f.gguf", loaded: 0, total: bytes.length });
		expect(seen.at(-1)).toMatchObject({ loaded: bytes.length, total: bytes.length });
		await removeStoredModel(name);
		const controller = new AbortController();
		const reason = new Error("too large");
		const attempt = fetched(name, {
			signal: controller.signal,
			onProgress: ({ loaded }) => {
				expect(loaded).toBe(0);
				controller.abort(reason);
			},
		});
		await expect(attempt).rejects.toBe(reason);
		expect(await storedModels()).toEqual([]);
	});

	test("goes on within a call where a broken connection stopped", async () => {
		hub.cuts.push(300_000);
		await expectWhole();
		expect(hub.requests[1]).toMatch(/ bytes=[1-9]\d*-$/);
	});

	test("the next call goes on where the last one was cut", async () => {
		await cutAfter(300_000);
		const [{ bytes: kept = 0 } = {}] = await storedModels();
		expect(kept).toBeGreaterThan(0);
		await expectWhole();
		expect(hub.requests).toEqual([`GET /o/r/resolve/main/f.gguf bytes=${kept}-`]);
	});

	test("the next call goes on where the last one was aborted", async () => {
		hub.pieceDelay = 10;
		const controller = new AbortController();
		const reason = new Error("enough");
		const attempt = fetched(name, {
			signal: controller.signal,
			onProgress: ({ loaded }) => loaded > 200_000 && controller.abort(reason),
		});
		await expect(attempt).rejects.toBe(reason);
		hub.pieceDelay = 0;
		expect(await storedModels()).toMatchObject([{ name, complete: false }]);
		hub.requests.length = 0;
		await expectWhole();
		expect(hub.requests[0]).toMatch(/ bytes=[1-9]\d*-$/);
		expect(await storedModels()).toEqual([{ name, bytes: bytes.length, complete: true }]);
	});

	test.each(["http://127.0.0.1", "https://elsewhere.example"])(
		"a file that has changed is fetched from its start, by a page of %s",
		async (origin) => {
			const location = origin === "http://127.0.0.1" ? hub.url : origin;
			vi.stubGlobal("location", new URL(location));
			await cutAfter(300_000);
			hub.files.set("o/r/f.gguf", other);
			await expectWhole(name, other);
			// One's own server is sent If-Range; what another answers is compared.
			expect(hub.requests).toHaveLength(location === hub.url ? 1 : 2);
		},
	);

	test("a server that does not know ranges begins anew", async () => {
		await cutAfter(300_000);
		hub.ignoreRange = true;
		await expectWhole();
	});

	test("a part longer than the file begins anew", async () => {
		await cutAfter(300_000);
		hub.files.set("o/r/f.gguf", bytes.subarray(0, 1000));
		vi.stubGlobal("location", new URL("https://elsewhere.example"));
		await expectWhole(name, bytes.subarray(0, 1000));
	});

	test("without room the error says how much there is", async () => {
		storage.quota = 400_000;
		await expect(fetched()).rejects.toThrow(
			/^\[tok\/lm\] storage: expected room for \d+ bytes, got none: the browser grants this site 400000 bytes, of which \d+ are taken\. Remove stored models/,
		);
		storage.quota = Number.POSITIVE_INFINITY;
		await expectWhole();
	});

	test("of two at once the second finds what the first has fetched", async () => {
		await Promise.all([expectWhole(), expectWhole()]);
		expect(hub.requests).toHaveLength(1);
	});

	test("what is no GGUF file is not kept", async () => {
		hub.files.set("o/r/f.gguf", new TextEncoder().encode("<!doctype html>"));
		await expect(fetched()).rejects.toThrow(
			/f\.gguf: expected a GGUF file \(it begins with 47 47 55 46\), got 3c 21 64 6f; check the URL/,
		);
		expect(await storedModels()).toEqual([]);
		hub.files.set("o/r/f.gguf", bytes);
		await expectWhole();
	});

	test("stored models are listed, and removed one by one", async () => {
		const url = `${hub.url}/o/r/resolve/main/f.gguf`;
		await expectWhole();
		await expectWhole(url);
		const models = [
			{ name, bytes: bytes.length, complete: true },
			{ name: url, bytes: bytes.length, complete: true },
		];
		expect(await storedModels()).toEqual(models);
		await removeStoredModel(name);
		await removeStoredModel(name);
		expect(await storedModels()).toEqual(models.slice(1));
		hub.requests.length = 0;
		await expectWhole();
		expect(hub.requests).toHaveLength(1);
	});

	test("a damaged manifest, or one that lies, is as good as none", async () => {
		await expectWhole();
		const manifest = storage.paths().find((path) => path.endsWith("tok-manifest.json")) as string;
		const text = new TextDecoder().decode(storage.file(manifest));
		for (const lie of ["", "{", "[]", "7", text.replace("1000000", "999999")]) {
			const sink = await (await modelFolder(name)).openSink("tok-manifest.json");
			await sink.clear();
			await sink.append(new TextEncoder().encode(lie));
			await sink.close();
			await expectWhole();
		}
	});

	test("a folder in transformers' layout is fetched as one, file by file, and kept", async () => {
		const files = {
			"config.json": "{}",
			"tokenizer.json": "{}",
			"model.safetensors": "weights",
			"x.onnx": "",
		};
		for (const [file, text] of Object.entries(files)) hub.files.set(`o/t/${file}`, Buffer.from(text));
		const seen: Progress[] = [];
		const model = await fetchModel("hf:o/t", { ...options, onProgress: (progress) => seen.push(progress) });
		expect(model.format).toBe("transformers");
		expect(model.files.map((file) => file.name)).toEqual([
			"config.json",
			"tokenizer.json",
			"model.safetensors",
		]);
		expect(seen.map(({ total }) => total)).toEqual(seen.map(() => 11));
		expect(seen.at(-1)?.loaded).toBe(11);
		const asked = hub.requests.length;
		expect((await fetchModel("hf:o/t", options)).files).toHaveLength(3);
		expect(hub.requests).toHaveLength(asked);
	});

	test("a repository's large files are compared with the digests that the hub tells", async () => {
		hub.files.set("o/t/config.json", Buffer.from("{}"));
		hub.files.set("o/t/model.safetensors", bytes);
		const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
			if (String(url).endsWith(".safetensors")) hub.files.set("o/t/model.safetensors", other);
			return globalThis.fetch(url, init);
		};
		await expect(fetchModel("hf:o/t", { ...options, fetch })).rejects.toThrow(
			/expected sha256 .*, got other/,
		);
		expect(await storedModels()).toEqual([{ name: "hf:o/t", bytes: 2, complete: false }]);
	});

	describe("a checksum", () => {
		const sha256 = createHash("sha256").update(bytes).digest("hex");
		const file = () => ({ name: "model.gguf", url: `${hub.url}/o/r/resolve/main/f.gguf`, size: 1e6, sha256 });
		const nothing = { size: undefined, validator: undefined, sha256: undefined, complete: false };

		async function check(expected = sha256, before: Uint8Array<ArrayBuffer> = new Uint8Array(0)) {
			const folder = await modelFolder("m");
			const sink = await folder.openSink("model.gguf");
			await sink.clear();
			await sink.append(before);
			await sink.close();
			const notes: unknown[] = [];
			const wanted = { ...file(), sha256: expected };
			await fetchFile(
				folder,
				wanted,
				{ ...wanted, ...nothing },
				{
					headers: {},
					note: async (kept) => void notes.push(kept),
					onBytes: () => undefined,
				},
			);
			return notes.at(-1);
		}

		test("is computed as the bytes come, also of what an earlier try has left, and noted", async () => {
			expect(await check()).toMatchObject({ sha256, complete: true, size: 1e6 });
			expect(await check(sha256, bytes.slice(0, 400_000))).toMatchObject({ sha256, complete: true });
			expect(hub.requests[1]).toMatch(/ bytes=400000-$/);
		});

		test("that differs because of the earlier part: fetched once more", async () => {
			expect(await check(sha256, new Uint8Array(400_000))).toMatchObject({ sha256, complete: true });
			expect(hub.requests).toHaveLength(2);
		});

		test("that differs is an error, and nothing is kept", async () => {
			const wrong = "0".repeat(64);
			await expect(check(wrong)).rejects.toThrow(`expected sha256 ${wrong}, got other bytes. Try again.`);
			expect(await (await modelFolder("m")).file("model.gguf")).toHaveProperty("size", 0);
		});
	});
});

describe("without storage", () => {
	test("a model is fetched into memory, each time anew", async () => {
		hub.cuts.push(300_000);
		await expectWhole();
		await expectWhole();
		expect(hub.requests).toHaveLength(3);
		expect(await storedModels()).toEqual([]);
		await removeStoredModel(name);
	});

	test("also where the browser has one and gives none", async () => {
		stubStorage("page");
		navigator.storage.getDirectory = () => Promise.reject(new DOMException("no", "SecurityError"));
		await expectWhole();
	});
});

describe("names", () => {
	test.each([
		[
			"smolm2",
			/expected a known name \(smollm2-135m\), hf:owner\/repo\/file, or a URL with a slash or \.gguf/,
		],
		["", /expected a path or a name/],
		["models/f.gguf", /expected a URL, got "models\/f\.gguf". Give an absolute one/],
		["hf:../r", /expected hf:owner\/repo/],
		["hf:o/none", /the server answered 404|neither/],
		["hf:o/r/none.gguf", /none\.gguf: the server answered 404/],
	])("%j is refused", async (model, message) => {
		const attempt = fetchModel(model, options);
		await expect(attempt).rejects.toThrow(message);
		await expect(attempt).rejects.toSatisfy(TokError.isInstance);
	});

	test.each([
		["https://a.example/page/", "models/f.gguf?x=1#y", "https://a.example/page/models/f.gguf?x=1"],
		["https://a.example/assets/worker.js", "/f.gguf", "https://a.example/f.gguf"],
		["blob:https://a.example/0-1", "f.gguf", "https://a.example/f.gguf"],
		["https://a.example/", "smollm2-135m", /huggingface\.co\/.*\/resolve\/[0-9a-f]{40}\/SmolLM2/],
		["https://a.example/", "hf:o/r@v 1/a b.gguf", "https://huggingface.co/o/r/resolve/v%201/a%20b.gguf"],
	])("at %s, %s is fetched from %s", async (at, model, url) => {
		vi.stubGlobal("location", new URL(at));
		const asked: string[] = [];
		const fetch = async (input: unknown): Promise<Response> => {
			asked.push(String(input));
			return new Response("", { status: 404 });
		};
		await expect(fetchModel(model, { fetch })).rejects.toThrow("answered 404");
		expect(asked).toEqual([typeof url === "string" ? url : expect.stringMatching(url)]);
	});

	test("a server that cannot be read is an error that says what may be why", async () => {
		const fetch = () => Promise.reject(new TypeError("Failed to fetch"));
		await expect(fetchModel("https://a.example/f.gguf", { fetch, retryDelay: 1 })).rejects.toThrow(
			"[tok/lm] https://a.example/f.gguf: the server cannot be reached, or does not let this page read it (CORS): " +
				"Failed to fetch. Try again.",
		);
	});

	test("a token goes to the hub alone", async () => {
		hub.token = "secret";
		options = { env: { HF_ENDPOINT: hub.url, HF_TOKEN: "secret" } };
		await expectWhole();
		await expect(fetchModel(`${hub.url}/o/r/resolve/main/f.gguf`, options)).rejects.toThrow("answered 401");
	});
});
