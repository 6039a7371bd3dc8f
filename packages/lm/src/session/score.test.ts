/** Scores of what a session reads: S40 of SPEC.md. */
import { type Policy, parsePolicy, rolling, sink } from "@tok/kv-cache";
import { expect, test } from "vitest";
import type { Session, SessionOptions } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";

const { model } = await openTinyModel();
const policy: Policy = [sink(4), rolling(28)];
const prompt = "The harbour was quiet when the clockmaker came home, and so it stayed.";

const open = (options: Partial<SessionOptions> = {}): Session => model.createSession({ policy, ...options });
const ids = (text: string): number[] => model.tokenizer.encode(text);

test.each(["sink:4,rolling:28", "rolling:32", "dense", "recompute:16"])(
	"S40: %s: scores of a text in pieces are its likelihoods, also after a rewind",
	async (text) => {
		const stream = ids(prompt);
		const policy = parsePolicy(text);
		const want = await model.negativeLogLikelihoods(stream, { policy });
		const session = open({ policy, chunk: 7 });
		const got: number[] = [];
		for (let from = 0; from < stream.length; from += 10) {
			got.push(...(await session.score(stream.slice(from, from + 10))));
			if (from > 0) continue;
			session.rewind(2);
			got.splice(-2, 2, ...(await session.score(stream.slice(8, 10))));
		}
		expect(got).toHaveLength(stream.length - 1);
		for (const [i, nll] of got.entries()) expect(nll).toBeCloseTo(want[i] as number, 4);
	},
);

test("S40: a token that was chosen is not scored, and the next one is", async () => {
	const session = open();
	await session.append(prompt);
	const options = { temperature: 0, ignoreEndOfText: true, maxTokens: 1 };
	const {
		ids: [chosen],
	} = await collect(session.generate(options));
	const [score] = await session.score([5]);
	const want = await model.negativeLogLikelihoods([...ids(prompt), chosen as number, 5], { policy });
	expect(score).toBeCloseTo(want.at(-1) as number, 4);
	expect(await open().score([])).toHaveLength(0);
	expect(await open().score([5])).toHaveLength(0);
});
