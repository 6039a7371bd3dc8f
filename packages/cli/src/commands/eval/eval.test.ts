/** `tok eval` on a model that copies what it can look back on, so that the right counts are known. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Model } from "@tok/lm";
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

			gap  tokens back   exact  share  95 % interval  tokens right
			 60          131  3 of 3  100 %    44 to 100 %         100 %
			900          971  0 of 3    0 %      0 to 56 %           0 %
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

test("needle --memory: among what tok read has archived", async () => {
	const archive = file("book.tokmem");
	writeFileSync(archive, "");
	const common = ["needle", "--text-file", file("book.txt"), "--samples", "2", "--memory", archive];
	const { stdout, stderr } = await evaluate([...common, "--json"]);
	expect(stderr).toBe("");
	expect(JSON.parse(stdout)).toMatchObject({
		policy: "sink:4,memory:4144/8x16:rotated,rolling:1020",
		archive: { file: archive, tokens: 48 },
		gap: 900,
		samples: 2,
	});
	const { stdout: text } = await evaluate(common);
	expect(text).toContain("one fact, among 48 tokens of an archive");
});

describe("streameval", () => {
	const argv = (...more: string[]) => ["streameval", "--distances", "1,5,40", "--queries", "3", ...more];

	test("--json: counts by distance, in lines and in tokens", async () => {
		const { code, stdout, stderr } = await evaluate(
			argv("--policy", "rolling:900", "--every", "5", "--json"),
		);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const result = JSON.parse(stdout);
		expect(result).toMatchObject({
			model: "recalling",
			policy: "rolling:900",
			every: 5,
			seed: 1,
			complete: true,
			distances: [
				{ lines: 1, exact: 3, samples: 3, tokenAccuracy: 1 },
				{ lines: 5, exact: 3, samples: 3 },
				{ lines: 40, exact: 0, samples: 3 },
			],
		});
		expect(result.distances[2].distance).toBeGreaterThan(40 * 60);
	});

	test("for people: a row a distance", async () => {
		const { stdout } = await evaluate(argv("--policy", "rolling:900"));
		expect(stdout).toMatchInlineSnapshot(`
			"rolling:900, exact: a question every 10 lines

			lines back  tokens back   exact  share  95 % interval  tokens right
			         1           73  3 of 3  100 %    44 to 100 %         100 %
			         5          368  3 of 3  100 %    44 to 100 %         100 %
			        40        2,923  0 of 3    0 %      0 to 56 %          33 %
			"
		`);
	});

	test("Ctrl-C: the table of what was done", async () => {
		const stop = { progress: true, abortAt: /2 of 3 queries/ };
		const { code, stdout, stderr } = await evaluate(argv("--policy", "rolling:900"), stop);
		expect(code).toBe(130);
		expect(stderr).toContain("Stopped: 2 of 3 queries done.\n");
		expect(stdout).toContain("2 of 2");
	});

	test("--plot draws a point and a whisker for each distance", async () => {
		const plot = file("recall.svg");
		const { code } = await evaluate(argv("--policy", "rolling:900", "--plot", plot));
		expect(code).toBe(0);
		const svg = readFileSync(plot, "utf8");
		expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
		for (const text of [
			"What is left of a stream of lines",
			"rolling:900; recalling",
			"100 %",
			"tokens back",
		])
			expect(svg).toContain(text);
	});
});

test("a chart that cannot be written costs no results", async () => {
	mkdirSync(file("taken.svg"));
	const argv = ["streameval", "--distances", "1", "--queries", "2", "--plot", file("taken.svg"), "--json"];
	const { code, stdout, stderr } = await evaluate(argv);
	expect(code).toBe(1);
	expect(JSON.parse(stdout)).toMatchObject({ complete: true, distances: [{ exact: 2 }] });
	expect(stderr).toMatch(/^\[tok\/cli\] --plot: cannot write .*taken.svg: EISDIR.\n$/);
});

describe("perplexity and compare", () => {
	const policies = ["--policy", "dense", "--policy", "rolling:252", "--policy", "rolling:8"];
	const argv = (command: string, ...more: string[]) => [command, "--text-file", file("book.txt"), ...more];

	test("perplexity --json: one policy with its interval", async () => {
		const { code, stdout, stderr } = await evaluate(argv("perplexity", "--policy", "dense", "--json"));
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const result = JSON.parse(stdout);
		// The start of text and 3,000 bytes.
		expect(result).toMatchObject({ policy: "dense", scored: 3000, blocks: 12, block: 256, difference: null });
		expect(result.interval.low).toBeLessThan(result.perplexity);
		expect(result.interval.high).toBeGreaterThan(result.perplexity);
	});

	test("compare --json: differences from the first policy, in nats", async () => {
		const { stdout } = await evaluate(argv("compare", ...policies, "--tokens", "513", "--json"));
		const { policies: results } = JSON.parse(stdout);
		expect(results).toMatchObject([
			{ policy: "dense", scored: 512, blocks: 2, difference: null },
			{ policy: "rolling:252", difference: { nll: 0, interval: { low: 0, high: 0 } } },
			{ policy: "rolling:8", difference: { nll: 0.5, interval: { low: 0.5, high: 0.5 } } },
		]);
	});

	test("for people: a row a policy", async () => {
		const { stdout } = await evaluate(argv("compare", ...policies));
		expect(stdout).toMatchInlineSnapshot(`
			"3,000 tokens in blocks of 256, exact

			policy       perplexity  95 % interval  nats more       95 % interval
			dense              1.82   1.82 to 1.82
			rolling:252        1.82   1.82 to 1.82     0.0000    0.0000 to 0.0000
			rolling:8          3.00   2.99 to 3.00    +0.5000  +0.5000 to +0.5000
			"
		`);
		const { stdout: alone } = await evaluate(argv("perplexity", "--tokens", "200"));
		expect(alone).toMatchInlineSnapshot(`
			"199 tokens in blocks of 256, exact

			policy               perplexity   95 % interval
			sink:4,rolling:1020        1.82  one block only
			"
		`);
	});

	test("Ctrl-C: the policies that were done", async () => {
		const stop = { progress: true, abortAt: /2 of 3 policies/ };
		const { code, stdout, stderr } = await evaluate(argv("compare", ...policies, "--json"), stop);
		expect(code).toBe(130);
		expect(stderr).toContain("Stopped: 2 of 3 policies done.\n");
		expect(JSON.parse(stdout).policies).toHaveLength(2);
	});

	test("--plot draws a bar for each policy", async () => {
		const plot = file("bars.svg");
		await evaluate(argv("compare", ...policies, "--plot", plot));
		const svg = readFileSync(plot, "utf8");
		for (const text of ["Perplexity under each policy", "dense", "rolling:252", "rolling:8"])
			expect(svg).toContain(text);
	});
});

test.each<[string, string[], string]>([
	[
		"an unknown evaluation",
		["nedle"],
		'expected a command (needle, streameval, perplexity, compare, heads), got "nedle". See tok eval --help.',
	],
	["no distance", ["streameval", "--distances", "0"], "--distances: expected integers from 1 to 102400"],
	["no queries", ["streameval", "--queries", "0"], "--queries: expected an integer from 1"],
	["half a seed", ["streameval", "--seed", "0.5"], "--seed: expected an integer from 0 to 4294967295"],
	[
		"another kind of chart",
		["streameval", "--plot", "a.png"],
		'expected a file name that ends in .svg, got "a.png"',
	],
	[
		"no folder for a chart",
		["streameval", "--plot", "/no/such/a.svg"],
		"there is no such folder. Make it first.",
	],
	["nothing to score", ["perplexity"], "expected either --text-file or --ids-file, got neither"],
	[
		"one policy to compare",
		["compare", "--text-file", "book.txt", "--policy", "dense"],
		"expected two policies or more",
	],
	["no policy to compare", ["compare", "--text-file", "book.txt"], "--policy is missing"],
	[
		"a policy twice",
		["compare", "--text-file", "book.txt", "--policy", "rolling:8", "--policy", "rolling:8"],
		"--policy: expected each policy once, got rolling:8 twice",
	],
	[
		"two policies to score",
		["perplexity", "--policy", "dense", "--policy", "dense"],
		"--policy is given twice",
	],
	[
		"an empty block",
		["perplexity", "--text-file", "book.txt", "--block", "0"],
		"--block: expected an integer ≥ 1",
	],
	[
		"more tokens than there are",
		["perplexity", "--text-file", "short.txt", "--tokens", "100"],
		"--tokens: expected at most the 10 tokens of the input, got 100",
	],
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

	test.each(["needle", "streameval", "perplexity", "compare"])("%s --help has examples", async (name) => {
		const { code, stdout, loaded } = await evaluate([name, "--help"]);
		expect({ code, loaded }).toEqual({ code: 0, loaded: [] });
		expect(stdout).toContain("EXAMPLES");
		expect(stdout).toContain(`tok eval ${name} `);
		expect((await tok(["help", "eval", name])).stdout).toBe(stdout);
	});
});

describe("heads", () => {
	const argv = (...more: string[]) => ["heads", "--text-file", file("book.txt"), "--samples", "3", ...more];

	/** Copies, and says that three heads recalled all of its stream. */
	function remembering(): Model {
		const model = recallingModel(() => Number.POSITIVE_INFINITY);
		const create = model.createSession.bind(model);
		const heads = [
			{ layer: 2, head: 1, mass: 0.5 },
			{ layer: 0, head: 0, mass: 0.25 },
			{ layer: 1, head: 0, mass: 0.125 },
		];
		return Object.assign(model, {
			createSession(...args: Parameters<typeof create>) {
				const session = create(...args);
				const { ids = [] } = model.streams.at(-1) ?? {};
				const passage = { source: "stream" as const, start: 0, text: "", mass: 0.3, layers: [], heads };
				return Object.assign(session, { recalled: () => [{ ...passage, ids: [...ids] }] });
			},
		});
	}

	test("ranks them, tries the best, and writes the fewest that suffice for --memory-heads", async () => {
		const out = file("heads.json");
		const { code, stdout, stderr } = await evaluate(argv("--counts", "2,1,9", "--out", out, "--json"), {
			lend: remembering(),
		});
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const report = JSON.parse(stdout);
		expect(report).toMatchObject({ gap: 900, seed: 1, complete: true, heads: ["2.1"] });
		expect(
			report.choices.map(({ heads, exact }: { heads: number; exact: number }) => [heads, exact]),
		).toEqual([
			[1, 3],
			[2, 3],
			[3, 3],
		]);
		expect(report.ranking[0]).toEqual({ layer: 2, head: 1, mass: 0.5 });
		expect(JSON.parse(readFileSync(out, "utf8"))).toEqual(report);
		const read = await evaluate(["needle", "--text-file", file("book.txt"), "--memory-heads", out], {});
		expect(read.code).toBe(0);
	});

	test("interrupted it says what it had, and writes no file", async () => {
		const out = file("half.json");
		const { code, stdout } = await evaluate(argv("--counts", "1,2", "--out", out, "--json"), {
			lend: remembering(),
			progress: true,
			abortAt: /2 of 3 samples with 1 heads/,
		});
		expect(code).toBe(130);
		expect(JSON.parse(stdout)).toMatchObject({ complete: false, choices: [{ heads: 3, exact: 3 }] });
		expect(existsSync(out)).toBe(false);
	});

	test("as a table, within 80 columns", async () => {
		const { stdout } = await evaluate(argv("--counts", "1"), { lend: remembering() });
		expect(stdout).toContain("Within one answer of all: 1 head:\n2.1\n");
		expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
	});

	test.each([
		[["--memory-heads", "1"], "--memory-heads: expected none, as all heads are ranked"],
		[["--policy", "sink:4,rolling:252"], "[tok/eval] policy: expected one with memory"],
		[["--counts", "0"], "--counts: expected integers ≥ 1"],
		[["--out", "/nowhere/at/all.json"], "--out: cannot write to /nowhere/at"],
	])("%j is an error", async (more, message) => {
		const { code, stderr } = await evaluate(argv(...more), { lend: remembering() });
		expect(code).toBe(1);
		expect(stderr).toContain(message);
	});

	test("that nothing was recalled is an error, and so are files that are none", async () => {
		expect((await evaluate(argv())).stderr).toContain("expected the codes to lie outside the window");
		writeFileSync(file("none.json"), "{}");
		const needle = ["needle", "--text-file", file("book.txt"), "--memory-heads"];
		for (const [name, message] of [
			["none.json", "expected a list of heads"],
			["missing.json", "expected a file that tok eval heads has written"],
		] as const)
			expect((await evaluate([...needle, file(name)])).stderr).toContain(message);
		writeFileSync(file("bad.json"), '{ "heads": ["2.x"] }');
		expect((await evaluate([...needle, file("bad.json")])).stderr).toContain('got "2.x"');
	});
});
