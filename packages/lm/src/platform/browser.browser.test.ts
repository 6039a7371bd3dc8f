/** Files and storage as a real browser has them, on a page and in a worker. */
import { afterEach, describe, expect, test } from "vitest";
import { type FakeServer, tasks } from "./testing/browser-tasks.ts";
import { inWorker } from "./testing/in-worker.ts";

type Run = typeof inWorker;
const onPage: Run = (name, ...args) => (tasks[name] as (...args: unknown[]) => never)(...args);

const content = (changed = 0): Blob => {
	const bytes = new Uint8Array(3_000_000).map((_, index) => ((index * 2_654_435_761) >>> 13) ^ changed);
	bytes.set(new TextEncoder().encode("GGUF"));
	return new Blob([bytes]);
};
const server = (more: Partial<FakeServer> = {}): FakeServer => ({ content: content(), tag: '"1"', ...more });
const url = new URL("/models/a.gguf", location.href).href;

afterEach(() => tasks.removeStoredModel(url));

async function sha256(blob: Blob): Promise<Uint8Array> {
	return new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
}

describe.each<[string, Run]>([
	["on a page", onPage],
	["in a worker", inWorker],
])("%s", (_, run) => {
	test("a Blob is read part by part, and its digest is Web Crypto's", async () => {
		const file = new File([content()], "a.bin");
		const { most, digest, path } = await run("digest", file);
		expect({ most, path }).toEqual({ most: 65_536, path: "a.bin" });
		expect(digest).toEqual(await sha256(file));
	});

	test("a folder in transformers' layout as Files", async () => {
		const files = await Promise.all(
			["config.json", "model.safetensors"].map(async (name) => {
				const golden = new URL(`../../../../goldens/lm-tiny/llama/${name}`, import.meta.url);
				return new File([await (await fetch(golden)).blob()], name);
			}),
		);
		expect(await run("inspect", files)).toMatchObject({
			name: "config.json, model.safetensors",
			format: "transformers",
			architecture: "llama",
			layers: 3,
			folder: expect.stringContaining("[tok/lm] cacheFolder: expected Node, got a browser"),
		});
	});

	test("a model is fetched once, and found in the storage then", async () => {
		const first = await run("fetch", url, server());
		expect(first).toMatchObject({ outcome: url, ranges: [null] });
		expect(first.seen[0]).toEqual({ stage: "download", label: "a.gguf", loaded: 0, total: 3_000_000 });
		expect(await run("fetch", url, server())).toEqual({ outcome: url, seen: [], ranges: [] });
		expect(await run("storedModels")).toEqual([{ name: url, bytes: 3_000_000, complete: true }]);
		await run("removeStoredModel", url);
		expect(await run("storedModels")).toEqual([]);
	});

	test("a download that was aborted goes on", async () => {
		const cut = await run("fetch", url, server({ hangAfter: 1_000_000 }), 1_000_000);
		expect(cut.outcome).toBe("enough");
		const [model] = await run("storedModels");
		expect(model).toMatchObject({ name: url, complete: false });
		expect(model?.bytes).toBeGreaterThanOrEqual(1_000_000);
		expect(await run("fetch", url, server())).toMatchObject({
			outcome: url,
			ranges: [`bytes=${model?.bytes}-`],
		});
		expect(await run("storedModels")).toEqual([{ name: url, bytes: 3_000_000, complete: true }]);
	});

	test("a file that has changed meanwhile is fetched from its start", async () => {
		await run("fetch", url, server({ hangAfter: 1_000_000 }), 1_000_000);
		const { outcome, seen } = await run("fetch", url, server({ content: content(1), tag: '"2"' }));
		expect(outcome).toBe(url);
		expect(seen[0]?.loaded).toBe(0);
	});

	test("without room the error says how much is needed and granted, and the next try goes on", async () => {
		const { outcome } = await run("fetchWithoutRoom", url, server(), 1_000_000);
		expect(outcome).toMatch(
			/^\[tok\/lm\] storage: expected room for \d+ bytes, got none: the browser grants this site \d+ bytes, of which \d+/,
		);
		expect(await run("fetch", url, server())).toMatchObject({ outcome: url });
	});

	test("of two at once the second finds what the first has fetched", async () => {
		const both = await Promise.all([run("fetch", url, server()), run("fetch", url, server())]);
		expect(both.map(({ ranges }) => ranges.length).sort()).toEqual([0, 1]);
	});
});

test("a page and a worker find each other's models, and their parts", async () => {
	await inWorker("fetch", url, server({ hangAfter: 1_000_000 }), 1_000_000);
	const { outcome, ranges } = await onPage("fetch", url, server());
	expect({ outcome, ranges }).toEqual({ outcome: url, ranges: [expect.stringMatching(/^bytes=\d+-$/)] });
	expect(await inWorker("fetch", url, server())).toMatchObject({ ranges: [] });
});

test("a worker reads of a large Blob what it is asked for: 6 GiB fit in no buffer", async () => {
	const block = new Blob([new Uint8Array(2 ** 20).fill(7)]);
	const gibibyte = new Blob(Array.from({ length: 1024 }, () => block));
	const large = new Blob([...Array.from({ length: 6 }, () => gibibyte), Uint8Array.of(1, 2, 3)]);
	expect([...(await inWorker("part", large, 6 * 2 ** 30 - 1, 4))]).toEqual([7, 1, 2, 3]);
});
