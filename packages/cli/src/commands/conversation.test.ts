/** `tok chat`, and `tok read`, which archives what it is to remember. On a fake model. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatPolicy } from "@tok/kv-cache";
import { knownMemoryHeads } from "@tok/lm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tok } from "../testing/run-tok.ts";

let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-chat-"));
	writeFileSync(file("text.txt"), "abc\n");
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("chat", () => {
	test("turns follow one another; the opening is pinned; the object holds the conversation", async () => {
		const { code, stdout, stderr, model } = await tok(["chat", "--system", "s", "--json"], {
			stdin: "x\n/stats\ny\n",
		});
		expect(code).toBe(0);
		expect(JSON.parse(stdout)).toMatchObject({
			model: "fake",
			policy: "sink:4,memory:4096/8x16,rolling:1020:turns",
			turns: [
				{ user: "x", assistant: ";<=>?@", finishReason: "stop" },
				{ user: "y", assistant: ";<=>?@", finishReason: "stop" },
			],
		});
		expect(stderr).toContain(
			"sink:4,memory:4096/8x16,rolling:1020:turns: cache up to 8.8 KiB; 1 of 1 heads remember\n",
		);
		expect(stderr).toContain("tokens in all");
		expect(model.tokenizer.decode(model.sessions[0]?.pin as number[])).toBe("<b>s:s<e>|");
		expect(model.tokenizer.decode(model.stream)).toBe(
			"<b>s:s<e>|<b>u:x<e>|<b>a:;<=>?@<e>|<b>u:y<e>|<b>a:;<=>?@<e>|",
		);
	});

	test("--speculate: every turn says what became of the guesses", async () => {
		const argv = ["chat", "--speculate", "8"];
		const { stdout } = await tok([...argv, "--json"], { stdin: "x\ny\n" });
		const speculation = { guessed: 7, accepted: 3, runs: 4 };
		expect(JSON.parse(stdout)).toMatchObject({ turns: [{ speculation }, { speculation }] });
		const terminal = await tok(argv, { stdin: "x\n", tty: { columns: 60, rows: 10 } });
		expect(terminal.stderr).toContain("7 tokens guessed, 3 right (43 %), 1.75 tokens a run\n");
	});

	test("/policy reads the last turns again under the new policy", async () => {
		const { stdout, stderr, model } = await tok(["chat", "--json"], {
			stdin: "x\n/policy rolling:9\n/policy rolling:0\n",
		});
		expect(JSON.parse(stdout).policy).toBe("rolling:9");
		expect(stderr).toContain("the last 1 turns were read again");
		expect(stderr).toContain("rolling: expected an integer from 1");
		const turn = "<b>u:x<e>|<b>a:;<=>?@<e>|";
		expect(model.tokenizer.decode(model.stream)).toBe(turn + turn);
	});

	test("/recall: what the last answer drew on; --json has it for every turn, under a policy with memory", async () => {
		const argv = ["chat", "--json", "--policy"];
		const stdin = "x\n/recall\n/policy rolling:9\n/recall\ny\n";
		const { stdout, stderr } = await tok([...argv, "sink:4,memory:32/1x16,rolling:20"], { stdin });
		const [first, second] = JSON.parse(stdout).turns;
		const layers = [{ layer: 0, mass: 0.25 }];
		expect(first.recalled).toEqual([
			{ source: "stream", start: 4, tokens: 3, text: "A\n\x1b[31mB", mass: 0.25, layers },
		]);
		expect(second).not.toHaveProperty("recalled");
		expect(stderr.replaceAll("\u00a0", " ")).toContain(
			"25 % of the last answer's attention went to 1 passage outside the window.\n\n" +
				"   25 %  tokens 4–6, most in layer 0 (25 %)\n         A [31mB\n",
		);
		expect(stderr).toContain("rolling:9 keeps nothing of what leaves the window.");
	});

	test("/help, unknown commands, /exit; // begins a message", async () => {
		const { code, stdout, stderr } = await tok(["chat"], { stdin: "/nope\n//etc\n/exit\nnot read\n" });
		expect(code).toBe(0);
		expect(stderr).toContain("There is no /nope.");
		expect(stderr).toContain("/restore FILE");
		expect(stdout).toBe(";<=>?@\n");
	});

	test("/save, /clear, /restore", async () => {
		const { stderr } = await tok(["chat"], {
			stdin: `x\n/save ${file("c.tok")}\n/clear\n/restore ${file("c.tok")}\n/save\n`,
		});
		expect(stderr).toContain("Saved to");
		expect(stderr).toContain("Forgotten.");
		expect(stderr).toContain("Restored 0 tokens");
		expect(stderr).toContain("expected a file name after the command");
	});

	test("remembers in all heads, in those that are said, and in a saved session's own", async () => {
		writeFileSync(file("saved.tok"), "rolling:9");
		const loadedWith = async (...argv: string[]) =>
			(await tok(["chat", ...argv], { stdin: "" })).model.loadedWith.memoryHeads;
		expect(await loadedWith()).toBeUndefined();
		expect(await loadedWith("--memory-heads", "known")).toEqual(knownMemoryHeads("smollm2-135m"));
		expect(await loadedWith("--memory-heads", "2")).toEqual([{ layer: 2 }]);
		expect(await loadedWith("--restore", file("saved.tok"))).toEqual([{ layer: 1, heads: [1] }]);
		expect(await loadedWith("--restore", file("saved.tok"), "--memory-heads", "all")).toBeUndefined();
		const { model } = await tok(["generate", "--restore", file("saved.tok"), "--max-tokens", "1"]);
		expect(model.loadedWith).toEqual({ precision: "exact", memoryHeads: [{ layer: 1, heads: [1] }] });
	});
});

describe("read", () => {
	const bookOf = (length: number): string => "a".repeat(length);

	test("archives a text, says how much of it, and what is left out", async () => {
		const { code, stdout, stderr, model } = await tok(["read", "-", "--save", file("a.tokmem")], {
			stdin: bookOf(9000),
		});
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		expect(stdout.replace(/[\d.,]+ tokens\/s/, "N tokens/s")).toBe(
			`${file("a.tokmem")}: 8,992 tokens archived in 26.4 KiB, read at N tokens/s\n` +
				"left out: the first 4, which are sinks; the last 8, which make no whole block\n",
		);
		expect(model.stream).toHaveLength(9000);
		expect(formatPolicy(model.sessions[0]?.policy ?? [])).toBe("sink:4,memory:9008/8x16,rolling:1020");
		expect(model.loadedWith).toEqual({});
	});

	test("--json, --policy, --memory-heads", async () => {
		const argv = ["read", file("text.txt"), "--save", file("b.tokmem"), "--json"];
		const policy = "memory:64/1x16,rolling:20";
		const { stdout, model } = await tok([...argv, "--policy", policy, "--memory-heads", "2,5.1"]);
		expect(JSON.parse(stdout)).toEqual({
			model: "fake",
			policy,
			precision: "exact",
			file: file("b.tokmem"),
			read: 4,
			tokens: 0,
			bytes: 11,
			leftOut: { sinks: 4, dropped: 0, last: 4 },
			tokensPerSecond: expect.any(Number),
			rssBytes: expect.any(Number),
		});
		expect(model.loadedWith).toEqual({ memoryHeads: [{ layer: 2 }, { layer: 5, heads: [1] }] });
	});

	test("--format is that of the file", async () => {
		const argv = ["read", file("text.txt"), "--save", file("c.tokmem")];
		await tok(argv);
		expect(readFileSync(file("c.tokmem"), "utf8")).toMatch(/^usual: /);
		await tok([...argv, "--format", "int4"]);
		expect(readFileSync(file("c.tokmem"), "utf8")).toMatch(/^int4: /);
		const { code, stderr } = await tok([...argv, "--format", "int2"]);
		expect({ code, stderr }).toEqual({
			code: 1,
			stderr: expect.stringContaining("--format: expected one of int4, int8, float32, got int2."),
		});
	});

	test("on top of another archive: its precision, its layers, room for both", async () => {
		writeFileSync(file("old.tokmem"), "");
		const argv = ["read", file("text.txt"), "--memory", file("old.tokmem"), "--save", file("both.tokmem")];
		const { model } = await tok(argv);
		expect(model.attached).toEqual([file("old.tokmem")]);
		expect(model.loadedWith).toEqual({ precision: "fast", memoryHeads: [{ layer: 0, heads: [0] }] });
		expect(formatPolicy(model.sessions[0]?.policy ?? [])).toBe("sink:4,memory:64/4x16,rolling:1020");
	});

	test("Ctrl-C leaves nothing behind: exit code 130", async () => {
		const { code } = await tok(["read", "-", "--save", file("never.tokmem")], {
			stdin: bookOf(20_000),
			interruptAfterTokens: 5000,
		});
		expect(code).toBe(130);
		expect(existsSync(file("never.tokmem"))).toBe(false);
	});

	test("chat and generate begin with what was read, and so does a conversation that is cleared", async () => {
		const archive = file("old.tokmem");
		const chat = await tok(["chat", "--memory", archive, "--json"], { stdin: "x\n/clear\ny\n" });
		expect(chat.model.attached).toEqual([archive, archive]);
		expect(JSON.parse(chat.stdout).policy).toBe("sink:4,memory:4144/8x16:rotated,rolling:1020:turns");
		expect(chat.model.loadedWith).toEqual({ precision: "fast", memoryHeads: [{ layer: 0, heads: [0] }] });
		const argv = ["generate", "--prompt", "a", "--max-tokens", "1", "--json", "--memory", archive];
		const generate = await tok([...argv, "--precision", "exact", "--memory-heads", "3"]);
		expect(JSON.parse(generate.stdout).policy).toBe("sink:4,memory:4144/8x16:rotated,rolling:1020");
		expect(generate.model.loadedWith).toEqual({ precision: "exact", memoryHeads: [{ layer: 3 }] });
		expect((await tok([...argv.slice(0, -1), file("missing")])).code).toBe(1);
	});
});
