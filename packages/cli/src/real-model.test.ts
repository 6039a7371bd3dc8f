/** The command on the real model, with the real libraries: what it prints equals the references. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { services } from "./services.ts";
import { tok } from "./testing/run-tok.ts";

interface GreedyReference {
	readonly messages: readonly { readonly content: string }[];
	readonly ids: readonly number[];
}

const goldens = new URL("../../../goldens/smollm2/", import.meta.url);
const guard = { listen() {}, yield() {}, intercept: () => () => {} };
const real = { services: services(guard) };

describe.skipIf(process.env.TOK_MODELS === undefined)("needs smollm2-135m below TOK_MODELS", () => {
	let folder: string;
	beforeAll(() => {
		folder = mkdtempSync(join(tmpdir(), "tok-real-"));
	});
	afterAll(() => rmSync(folder, { recursive: true }));

	test("chat template and greedy tokens, with the session saved and restored half way", async () => {
		const [reference] = JSON.parse(
			readFileSync(new URL("greedy.json", goldens), "utf8"),
		) as GreedyReference[];
		const session = join(folder, "half.tok");
		const common = ["--temperature", "0", "--precision", "exact", "--max-tokens", "8", "--json"];
		const prompt = ["--chat", "--prompt", reference?.messages[0]?.content ?? "", "--policy", "dense"];
		const first = await tok(["generate", ...prompt, ...common, "--save", session], real);
		const second = await tok(["generate", "--restore", session, ...common], real);
		expect([first.stderr, second.stderr]).toEqual(["", ""]);
		const ids = [first, second].flatMap(({ stdout }) => (JSON.parse(stdout) as { ids: number[] }).ids);
		expect(ids).toEqual(reference?.ids.slice(0, 16));
	});

	test("a text that was read once is recalled later, in another run", async () => {
		const archive = join(folder, "book.tokmem");
		const book = join(folder, "book.txt");
		const filler = "The rain fell on the quay, and nobody was about but the gulls. ".repeat(12);
		writeFileSync(book, `${filler}\nThe harbour master's secret number is 7419.\n${filler}`);
		const read = await tok(["read", book, "--save", archive, "--json"], real);
		expect(read.stderr).toBe("");
		expect(JSON.parse(read.stdout)).toMatchObject({
			file: archive,
			tokens: expect.any(Number),
			leftOut: { sinks: 4, dropped: 0, last: expect.any(Number) },
		});
		const prompt = ["--prompt", "The harbour master's secret number is", "--temperature", "0"];
		const asked = await tok(
			["generate", "--memory", archive, ...prompt, "--max-tokens", "6", "--json"],
			real,
		);
		expect(asked.stderr).toBe("");
		const { text, recalled } = JSON.parse(asked.stdout);
		expect(text).toContain("7419");
		const fact = { source: "archive", text: expect.stringContaining("7419") };
		expect(recalled).toContainEqual(expect.objectContaining(fact));
	});

	test("perplexity of a policy, token by token", async () => {
		const count = 320;
		const out = join(folder, "nll.f32");
		const ids = join(folder, "ids.i32");
		writeFileSync(ids, readFileSync(new URL("tokens.i32", goldens)).subarray(0, 4 * count));
		const argv = ["perplexity", "--ids-file", ids, "--policy", "sink:4,rolling:252", "--precision", "exact"];
		const { code, stdout } = await tok([...argv, "--nll-out", out, "--json"], real);
		expect(code).toBe(0);
		const expected = readFloats(readFileSync(new URL("policy_4_252.nll.f32", goldens))).slice(0, count - 1);
		const found = readFloats(readFileSync(out));
		expect(found).toHaveLength(count - 1);
		const differences = found.map((value, index) => Math.abs(value - (expected[index] ?? Number.NaN)));
		expect(Math.max(...differences)).toBeLessThan(2e-3);
		const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
		expect(JSON.parse(stdout)).toMatchObject({
			tokens: count,
			scored: count - 1,
			nll: expect.closeTo(mean, 4),
		});
	});
});

function readFloats(bytes: Buffer): number[] {
	return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
}
