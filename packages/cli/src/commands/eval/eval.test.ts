/** `tok eval` on a model that copies what it can look back on, so that the right counts are known. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fillerText } from "../../../../eval/src/testing/filler.ts";
import { recallingModel } from "../../../../eval/src/testing/recalling-model.ts";
import { type TokOptions, tok } from "../../testing/run-tok.ts";

let folder: string;
const file = (name: string): string => join(folder, name);
const evaluate = (argv: readonly string[], options: TokOptions = {}) =>
	tok(["eval", ...argv], { lend: recallingModel(), ...options });

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-eval-"));
	writeFileSync(file("book.txt"), fillerText(3000));
	writeFileSync(file("short.txt"), "too short");
	writeFileSync(file("empty.txt"), "");
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("needle", () => {
	const argv = (...more: string[]) => ["needle", "--text-file", file("book.txt"), "--samples", "3", ...more];

	test("--json: one object with the counts of the one gap", async () => {
		const { code, stdout, stderr } = await evaluate(
			argv("--gap", "60", "--policy", "sink:4,rolling:252", "--seed", "5", "--json"),
		);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const result = JSON.parse(stdout);
		expect(result).toMatchObject({
			model: "recalling",
			policy: "sink:4,rolling:252",
			precision: "exact",
			facts: 1,
			paraphrase: false,
			seed: 5,
			complete: true,
			gap: 60,
			exact: 3,
			samples: 3,
			tokenAccuracy: 1,
			interval: { low: expect.closeTo(3 / (3 + 3.841459), 5), high: 1 },
		});
		expect(result.answers).toHaveLength(3);
		expect(result.answers[0].got).toBe(result.answers[0].expected);
	});

	test("several gaps are an array; what is behind the window is not recalled", async () => {
		const { stdout } = await evaluate(argv("--gap", "60,900", "--policy", "sink:4,rolling:252", "--json"));
		const counts = JSON.parse(stdout).gaps.map(({ gap, exact }: { gap: number; exact: number }) => [
			gap,
			exact,
		]);
		expect(counts).toEqual([
			[60, 3],
			[900, 0],
		]);
	});

	test("for people: a row a gap", async () => {
		const { stdout } = await evaluate(argv("--gap", "60,900", "--policy", "rolling:252"));
		expect(stdout).toMatchInlineSnapshot(`
			"rolling:252, exact: one fact

			gap   tokens back    exact   share   95 % interval   tokens right
			 60           131   3 of 3   100 %     44 to 100 %          100 %
			900           971   0 of 3     0 %       0 to 56 %            0 %
			"
		`);
	});

	test("--facts and --paraphrase reach the evaluation", async () => {
		const plain = await evaluate(argv("--facts", "2", "--gap", "60", "--json"));
		expect(JSON.parse(plain.stdout)).toMatchObject({ facts: 2, exact: 3 });
		// A model that copies cannot answer what is asked for in other words.
		const hard = await evaluate(argv("--paraphrase", "--gap", "60", "--json"));
		expect(JSON.parse(hard.stdout)).toMatchObject({ paraphrase: true, exact: 0 });
	});

	test("Ctrl-C: exit code 130, and the same object of what was done", async () => {
		const stop = { progress: true, abortAt: /2 of 3 samples/ };
		const { code, stdout, stderr } = await evaluate(argv("--gap", "60", "--json"), stop);
		expect(code).toBe(130);
		expect(stderr).toContain("Stopped: 2 of 3 samples done.\n");
		expect(JSON.parse(stdout)).toMatchObject({ complete: false, exact: 2, samples: 2 });
	});

	test("Ctrl-C before anything is done leaves standard output empty", async () => {
		const stop = { progress: true, abortAt: /Preparing/ };
		const { code, stdout, stderr } = await evaluate(argv("--gap", "60", "--json"), stop);
		expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
		expect(stderr).toContain("Stopped: nothing was finished.\n");
	});
});

test.each<[string, string[], string]>([
	["an unknown evaluation", ["nedle"], 'expected a command (needle), got "nedle". See tok eval --help.'],
	["no text", ["needle"], "--text-file is missing"],
	[
		"half a gap",
		["needle", "--text-file", "short.txt", "--gap", "1.5"],
		'--gap: expected integers ≥ 0 with commas between them, got "1.5"',
	],
	["an empty gap", ["needle", "--text-file", "short.txt", "--gap", "60,"], "--gap: expected integers ≥ 0"],
	[
		"no samples",
		["needle", "--text-file", "short.txt", "--samples", "0"],
		"--samples: expected an integer from 1",
	],
	[
		"too many facts",
		["needle", "--text-file", "short.txt", "--facts", "9"],
		"--facts: expected an integer from 1 to 8",
	],
	["an empty text", ["needle", "--text-file", "empty.txt"], "--text-file: expected a text, got an empty one"],
	[
		"a short text",
		["needle", "--text-file", "short.txt", "--gap", "60"],
		"[tok/eval] filler: expected at least 124 tokens (64 before the fact + 60 after), got 9.",
	],
	[
		"a gap twice",
		["needle", "--text-file", "book.txt", "--gap", "60,60"],
		"[tok/eval] gaps: expected each value once, got 60 twice",
	],
])("bad input: %s", async (_, argv, message) => {
	const paths = argv.map((arg) => (arg.endsWith(".txt") ? file(arg) : arg));
	const { code, stdout, stderr } = await evaluate(paths);
	expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
	expect(stderr).toContain(message);
	expect(stderr).toMatch(/^\[tok\/[a-z-]+\] .*\n$/s);
});

describe("help", () => {
	test("tok eval shows its commands", async () => {
		const { code, stdout } = await evaluate([]);
		expect(code).toBe(0);
		expect(stdout).toContain("needle");
		for (const argv of [
			["eval", "--help"],
			["help", "eval"],
		])
			expect((await tok(argv)).stdout).toBe(stdout);
	});

	test.each(["needle"])("%s --help has examples", async (name) => {
		const { code, stdout, loaded } = await evaluate([name, "--help"]);
		expect({ code, loaded }).toEqual({ code: 0, loaded: [] });
		expect(stdout).toContain("EXAMPLES");
		expect(stdout).toContain(`tok eval ${name} `);
		expect((await tok(["help", "eval", name])).stdout).toBe(stdout);
	});
});
