import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tok } from "./testing/run-tok.ts";

let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-cli-"));
	writeFileSync(file("text.txt"), "abc\n");
	writeFileSync(file("empty.txt"), "");
	writeFileSync(file("latin1.txt"), Buffer.from([0x61, 0x62, 0xe9, 0x63]));
	writeFileSync(file("cut.txt"), Buffer.from([0x61, 0xf0, 0x9f]));
	writeFileSync(file("ids.i32"), Buffer.from(Int32Array.from([1, 2, 3, 4]).buffer));
	writeFileSync(file("high.i32"), Buffer.from(Int32Array.from([1, 258]).buffer));
	writeFileSync(file("negative.i32"), Buffer.from(Int32Array.from([1, -1]).buffer));
	writeFileSync(file("odd.i32"), Buffer.from([1, 2, 3]));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("bad input: exit code 1, one clear message, no model loaded", () => {
	test.each<[string, string[], string]>([
		[
			"unknown command",
			["generat"],
			'expected a command (pull, generate, chat, read, tokenize, perplexity, eval, inspect, quantize), got "generat"',
		],
		[
			"unknown flag",
			["generate", "--prompt", "x", "--max-token", "3"],
			"unknown flag --max-token. Did you mean --max-tokens?",
		],
		["a type that is not written", ["quantize", "--type", "q5_0", "--out", "x"], "expected q8_0 or q4_0"],
		["no file to write", ["quantize", "--type", "q8_0"], "--out is missing"],
		["negated flag", ["generate", "--prompt", "x", "--no-json"], "unknown flag --no-json"],
		["short flag", ["generate", "-p", "x"], "unknown flag -p"],
		["argument too many", ["generate", "--prompt", "two", "words"], 'unexpected argument "words"'],
		["value missing", ["generate", "--prompt"], "--prompt needs a value"],
		["value swallowed", ["generate", "--prompt", "--json"], "--prompt needs a value"],
		["value too many", ["generate", "--prompt", "x", "--json=yes"], "--json takes no value"],
		["given twice", ["generate", "--prompt", "x", "--prompt", "y"], "--prompt is given twice"],
		["argument missing", ["pull"], "NAME is missing"],
		["empty model", ["generate", "--model", "", "--prompt", "x"], "--model: expected a path or a name"],
		[
			"negative tokens",
			["generate", "--prompt", "x", "--max-tokens", "-1"],
			'--max-tokens: expected an integer ≥ 1, got "-1"',
		],
		[
			"no tokens",
			["generate", "--prompt", "x", "--max-tokens", "0"],
			'--max-tokens: expected an integer ≥ 1, got "0"',
		],
		[
			"half a token",
			["generate", "--prompt", "x", "--max-tokens", "1.5"],
			"--max-tokens: expected an integer",
		],
		["half a guess", ["chat", "--speculate", "0.5"], "--speculate: expected an integer ≥ 0"],
		["endless and limited", ["generate", "--prompt", "x", "--endless", "--max-tokens", "1"], "got both"],
		["endless JSON", ["generate", "--prompt", "x", "--endless", "--json"], "--endless has no end"],
		[
			"hot",
			["generate", "--prompt", "x", "--temperature", "warm"],
			'--temperature: expected a number ≥ 0, got "warm"',
		],
		[
			"infinitely hot",
			["generate", "--prompt", "x", "--temperature", "Infinity"],
			"--temperature: expected a number",
		],
		["cold", ["generate", "--prompt", "x", "--temperature", "-0.1"], "--temperature: expected a number ≥ 0"],
		[
			"top-p of nothing",
			["generate", "--prompt", "x", "--top-p", "0"],
			"--top-p: expected a number > 0 and ≤ 1",
		],
		["empty stop", ["generate", "--prompt", "x", "--stop", ""], "--stop: expected a text"],
		[
			"policy of 0",
			["generate", "--prompt", "x", "--policy", "rolling:0"],
			"rolling: expected an integer from 1",
		],
		[
			"policy of -1",
			["generate", "--prompt", "x", "--policy", "rolling:-1"],
			"[tok/kv-cache] policy: expected dense, sink:N",
		],
		[
			"mixed policy",
			["generate", "--prompt", "x", "--policy", "rolling:4,dense"],
			"expected nothing after rolling:4",
		],
		["sinks alone", ["generate", "--prompt", "x", "--policy", "sink:4"], "expected a last segment"],
		[
			"precision",
			["generate", "--prompt", "x", "--precision", "half"],
			'--precision: expected exact or fast, got "half"',
		],
		[
			"positions",
			["generate", "--prompt", "x", "--positions", "none"],
			"--positions: expected in-cache or original",
		],
		["chunk", ["generate", "--prompt", "x", "--chunk", "0"], "--chunk: expected an integer from 1"],
		[
			"no prompt",
			["generate"],
			"expected --prompt TEXT or --prompt-file FILE (- for standard input), got neither",
		],
		[
			"two prompts",
			["generate", "--prompt", "x", "--prompt-file", "y"],
			"expected either --prompt or --prompt-file, got both",
		],
		["system without chat", ["generate", "--prompt", "x", "--system", "y"], "--system is for --chat"],
		[
			"missing file",
			["generate", "--prompt-file", "/no/such/file"],
			"--prompt-file: cannot read /no/such/file: there is no such file",
		],
		[
			"nothing to restore",
			["generate", "--restore", "/no/such/file"],
			"--restore: expected a saved session, got nothing",
		],
		[
			"nowhere to save",
			["generate", "--prompt", "x", "--save", "/no/such/file"],
			"--save: cannot write to /no/such: there is no such folder",
		],
		["no book", ["read", "--save", "x"], "FILE is missing"],
		["no archive to write", ["read", "x"], "--save is missing"],
		[
			"no folder for the archive",
			["read", "-", "--save", "/no/such/file"],
			"--save: cannot write to /no/such",
		],
		[
			"a policy without memory",
			["read", "-", "--save", "x", "--policy", "rolling:9"],
			"--policy: expected one with memory, got rolling:9.",
		],
		[
			"layers by name",
			["chat", "--memory-heads", "middle"],
			"--memory-heads: expected all, known, layers and heads such as 6,14.0,14.1",
		],
		[
			"heads that nobody has found",
			["chat", "--memory-heads", "known", "--model", "other.gguf"],
			"--memory-heads: expected a model whose heads are known, got other.gguf. Find them with tok eval heads.",
		],
		["two beginnings", ["chat", "--memory", "x", "--restore", "run.test.ts"], "either --memory or --restore"],
		["no text", ["tokenize"], "expected either --text or --text-file, got neither"],
		[
			"two inputs",
			["perplexity", "--text-file", "a", "--ids-file", "b"],
			"expected either --text-file or --ids-file, got both",
		],
		["one token", ["perplexity", "--text-file", "a", "--tokens", "1"], "--tokens: expected an integer ≥ 2"],
	])("%s", async (_, argv, message) => {
		const { code, stdout, stderr, loaded } = await tok(argv);
		expect({ code, stdout, loaded }).toEqual({ code: 1, stdout: "", loaded: [] });
		expect(stderr).toContain(message);
		expect(stderr).toMatch(/^\[tok\/[a-z-]+\] .*\n$/s);
		expect(stderr).not.toContain("    at ");
	});

	test.each<[string, string[], string]>([
		[
			"latin-1",
			["tokenize", "--text-file", "latin1.txt"],
			"--text-file: expected UTF-8, got other bytes at offset 2 of",
		],
		[
			"a cut character",
			["perplexity", "--text-file", "cut.txt"],
			"expected UTF-8, got other bytes at offset 1 of",
		],
		["odd ids", ["perplexity", "--ids-file", "odd.i32"], "got 3 bytes in"],
		["no ids", ["perplexity", "--ids-file", "empty.txt"], "got 0 bytes in"],
		["a folder", ["tokenize", "--text-file", "."], "expected a file, got the folder"],
	])("%s", async (_, argv, message) => {
		const { code, stderr, loaded } = await tok(argv.map((arg, index) => (index === 2 ? file(arg) : arg)));
		expect({ code, loaded }).toEqual({ code: 1, loaded: [] });
		expect(stderr).toContain(message);
	});

	test("standard input that is not UTF-8", async () => {
		const { code, stderr } = await tok(["generate", "--prompt-file", "-"], {
			stdin: Buffer.from([0x61, 0xff]),
		});
		expect(code).toBe(1);
		expect(stderr).toContain("offset 1 of standard input");
	});

	test("a stack trace only with TOK_DEBUG", async () => {
		const { stderr } = await tok(["generate"], { env: { TOK_DEBUG: "1" } });
		expect(stderr).toContain("    at ");
	});
});

describe("bad input that the model decides", () => {
	test.each([
		["high.i32", "--ids-file: expected ids from 0 to 257, got 258 at index 1"],
		["negative.i32", "got -1 at index 1"],
	])("%s", async (name, message) => {
		const { code, stderr, model } = await tok(["perplexity", "--ids-file", file(name)]);
		expect(code).toBe(1);
		expect(stderr).toContain(message);
		expect(model.disposed).toBe(true);
	});

	test("a text without two tokens", async () => {
		const { code, stderr } = await tok(["perplexity", "--text-file", file("empty.txt")]);
		expect(code).toBe(1);
		expect(stderr).toContain("--text-file: expected more than 1 tokens, got 0");
	});

	test("more tokens than there are", async () => {
		const { code, stderr } = await tok(["perplexity", "--ids-file", file("ids.i32"), "--tokens", "5"]);
		expect(code).toBe(1);
		expect(stderr).toContain("--tokens: expected at most the 4 tokens of the input, got 5");
	});

	test("a model that is not there", async () => {
		const { code, stderr } = await tok(["inspect", "--model", file("none.gguf")]);
		expect(code).toBe(1);
		expect(stderr).toContain("[tok/lm] model: cannot find");
	});
});

describe("tokenize", () => {
	test("--json", async () => {
		const { code, stdout } = await tok(["tokenize", "--text-file", file("text.txt"), "--json"]);
		expect(code).toBe(0);
		expect(stdout).toBe('{"ids":[97,98,99,10]}\n');
	});

	test("a line per token", async () => {
		const { stdout } = await tok(["tokenize", "--text", "a\n", "--model", "m"]);
		expect(stdout).toBe('97\t"a"\n10\t"\\n"\n');
	});
});

describe("generate", () => {
	test("--json: one object with the stated keys", async () => {
		const argv = [
			"generate",
			"--model",
			"m",
			"--prompt",
			"a",
			"--max-tokens",
			"3",
			"--temperature",
			"0",
			"--json",
		];
		const { code, stdout, model, loaded } = await tok([...argv, "--policy", "sink:4,rolling:4"]);
		expect(code).toBe(0);
		expect(loaded).toEqual(["m"]);
		expect(JSON.parse(stdout)).toEqual({
			model: "fake",
			policy: "sink:4,rolling:4",
			precision: "exact",
			text: "bcd",
			ids: [98, 99, 100],
			finishReason: "length",
			promptTokens: 1,
			tokens: 3,
			prefillTokensPerSecond: expect.any(Number),
			decodeTokensPerSecond: expect.any(Number),
			cache: { retained: 4, evicted: 0, bytes: 64, diskBytes: 16 },
			rssBytes: expect.any(Number),
		});
		expect(model.disposed).toBe(true);
	});

	test("--json under a policy with memory: what was recalled", async () => {
		const argv = ["generate", "--prompt", "a", "--json", "--policy", "memory:32/1x16,rolling:20"];
		const { recalled } = JSON.parse((await tok(argv)).stdout);
		expect(recalled).toHaveLength(1);
		expect(recalled[0]).toMatchObject({ start: 4, tokens: 3, mass: 0.25 });
	});

	test("--speculate: the object says what became of the guesses, a terminal is told in the end", async () => {
		const argv = ["generate", "--prompt", "a", "--max-tokens", "4", "--speculate", "8"];
		const { stdout, stderr } = await tok([...argv, "--json"]);
		expect(JSON.parse(stdout)).toMatchObject({ speculation: { guessed: 4, accepted: 2, runs: 2 } });
		expect(stderr).toBe("");
		const terminal = await tok(argv, { tty: { columns: 60, rows: 10 } });
		expect(terminal.stdout.endsWith("\rabcde\x1b[J\r\n")).toBe(true);
		expect(terminal.stderr).toBe("4 tokens guessed, 2 right (50 %), 2.00 tokens a run\n");
		const pipe = await tok(argv);
		expect(pipe).toMatchObject({ stdout: "bcde\n", stderr: "" });
		const none = await tok([...argv.slice(0, -1), "0", "--json"]);
		expect(JSON.parse(none.stdout)).not.toHaveProperty("speculation");
	});

	test("into a pipe: what was generated and nothing else, to the end of text", async () => {
		const { code, stdout } = await tok(["generate", "--prompt-file", "-"], { stdin: "a" });
		expect(code).toBe(0);
		expect(stdout).toBe("bcdefg\n");
	});

	test("an empty prompt begins with the model's own first token", async () => {
		const { model } = await tok(["generate", "--prompt", "", "--max-tokens", "1"]);
		expect(model.stream[0]).toBe(256);
	});

	test("graphs are kept, unless --no-prepare says otherwise", async () => {
		const argv = ["generate", "--prompt", "a", "--max-tokens", "1"];
		expect((await tok(argv)).prepared).toEqual([true]);
		expect((await tok([...argv, "--no-prepare"])).prepared).toEqual([false]);
	});

	test("values lie in memory, unless --memory-disk says otherwise; that there is no room is said", async () => {
		const argv = ["generate", "--prompt", "1", "--max-tokens", "2"];
		expect(await tok(argv)).toMatchObject({
			disks: [undefined],
			stderr: expect.not.stringContaining("disk"),
		});
		expect((await tok([...argv, "--memory-disk", "here"])).disks).toEqual(["here"]);
		const nowhere = await tok([...argv, "--memory-disk="]);
		expect(nowhere).toMatchObject({ code: 1, loaded: [] });
		expect(nowhere.stderr).toContain("[tok/cli] --memory-disk: expected a folder, got nothing.");
		const later = await tok([...argv, "--memory-disk", "/full later"], { progress: true });
		expect(later).toMatchObject({
			code: 0,
			stderr: expect.stringMatching(/tok\/s[\s\S]*\[tok\/runtime-cpu\] disk: no room\n$/),
		});
		const full = await tok([...argv, "--memory-disk", "/full"]);
		expect(full).toMatchObject({
			code: 0,
			stderr: expect.stringMatching(/^\[tok\/runtime-cpu\] disk: no room$/m),
		});
	});

	test("a prompt that looks like a flag", async () => {
		const { model } = await tok(["generate", "--prompt=--json", "--max-tokens", "1"]);
		expect(Buffer.from(model.stream.slice(0, 6)).toString()).toBe("--json");
	});

	test("--chat puts the prompt into the template", async () => {
		const { model } = await tok([
			"generate",
			"--chat",
			"--system",
			"s",
			"--prompt",
			"u",
			"--max-tokens",
			"1",
		]);
		expect(model.tokenizer.decode(model.stream.slice(0, -1))).toBe("<b>s:s<e>|<b>u:u<e>|<b>a:");
	});

	test("--endless goes on past the end of text until it is interrupted: exit code 130", async () => {
		const { code, stdout, model } = await tok(["generate", "--endless", "--prompt", "a"], { abortAfter: 50 });
		expect(code).toBe(130);
		expect(stdout.length).toBeGreaterThanOrEqual(50);
		expect(model.disposed).toBe(true);
	});

	test("--save, --restore", async () => {
		await tok([
			"generate",
			"--prompt",
			"a",
			"--max-tokens",
			"2",
			"--save",
			file("s.tok"),
			"--policy",
			"rolling:9",
		]);
		expect(readFileSync(file("s.tok"), "utf8")).toBe("rolling:9");
		const again = await tok(["generate", "--restore", file("s.tok"), "--max-tokens", "2", "--json"]);
		expect(again.code).toBe(1);
	});

	test("on a terminal: the text under a status line, which is gone in the end", async () => {
		const { stdout } = await tok(["generate", "--prompt", "a", "--max-tokens", "4"], {
			tty: { columns: 60, rows: 10 },
		});
		expect(stdout).toContain("tokens · ");
		expect(stdout.endsWith("\rabcde\x1b[J\r\n")).toBe(true);
	});
});

describe("perplexity", () => {
	test("--json and --nll-out", async () => {
		const out = file("nll.f32");
		const argv = ["perplexity", "--ids-file", file("ids.i32"), "--tokens", "3", "--policy", "rolling:2"];
		const { code, stdout } = await tok([...argv, "--nll-out", out, "--json"]);
		expect(code).toBe(0);
		expect(JSON.parse(stdout)).toEqual({
			model: "fake",
			policy: "rolling:2",
			precision: "exact",
			tokens: 3,
			scored: 2,
			nll: expect.closeTo(Math.log(2), 6),
			perplexity: expect.closeTo(2, 6),
			tokensPerSecond: expect.any(Number),
			peakRssBytes: expect.any(Number),
		});
		const bytes = readFileSync(out);
		expect([bytes.readFloatLE(0), bytes.readFloatLE(4), bytes.length]).toEqual([
			Math.fround(Math.log(2)),
			Math.fround(Math.log(2)),
			8,
		]);
	});
});

describe("inspect", () => {
	const tiny = fileURLToPath(new URL("../../../goldens/lm-tiny/llama", import.meta.url));

	test("--json, with a policy's cost", async () => {
		const { code, stdout } = await tok([
			"inspect",
			"--model",
			tiny,
			"--policy",
			"sink:4,rolling:28",
			"--json",
		]);
		expect(code).toBe(0);
		const report = JSON.parse(stdout);
		expect(report).toMatchObject({ architecture: "llama", format: "transformers", tokenizer: null });
		expect(report.policy.bytes).toBe(32 * report.cacheBytesPerToken);
	});

	test("for people", async () => {
		const { stdout } = await tok(["inspect", "--model", tiny, "--policy", "dense"]);
		expect(stdout).toMatch(/^architecture +llama$/m);
		expect(stdout).toMatch(/^policy +dense: grows with the text, without a limit$/m);
	});
});

describe("help", () => {
	test("tok alone shows the commands", async () => {
		const { code, stdout } = await tok([]);
		expect(code).toBe(0);
		for (const name of ["pull", "generate", "chat", "read", "tokenize", "perplexity", "eval", "inspect"])
			expect(stdout).toContain(name);
	});

	test.each(["pull", "generate", "chat", "read", "tokenize", "perplexity", "inspect"])(
		"%s --help has examples",
		async (name) => {
			const { code, stdout, loaded } = await tok([name, "--help"]);
			expect({ code, loaded }).toEqual({ code: 0, loaded: [] });
			expect(stdout).toContain("EXAMPLES");
			expect(stdout).toContain(`tok ${name} `);
			expect(stdout).not.toContain("\x1b");
			expect((await tok(["help", name])).stdout).toBe(stdout);
		},
	);

	test("--version", async () => {
		expect((await tok(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
	});
});
