/** Choices of blocks that hold for several tokens, on a tiny model: S32 of SPEC.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { expect, test } from "vitest";
import type { Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import type { SessionHeader } from "./session-file.ts";

const { folder, model } = await openTinyModel();
const story = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const policy = parsePolicy("sink:4,memory:64/2x8/5,rolling:28");

async function told(text: string): Promise<Session> {
	const session = model.createSession({ policy, chunk: 1 });
	await session.append(text);
	return session;
}

const go = (session: Session, maxTokens = 23, speculate = 0) =>
	collect(session.generate({ temperature: 0, ignoreEndOfText: true, maxTokens, logprobs: 0, speculate }));

/** Ids, ln p to four digits, and what was recalled. */
async function continuation(session: Session, speculate = 0) {
	const { ids, yielded } = await go(session, 23, speculate);
	return {
		ids,
		logprobs: yielded.map(({ logprob }) => (logprob as number).toFixed(3)),
		recalled: session.recalled().map(({ start, mass }) => [start, mass.toFixed(4)]),
	};
}

test("a choice that holds goes on in forks, files and guesses, wherever they begin", async () => {
	for (let more = 0; more < 6; more++) {
		const session = await told(story);
		await go(session, 1 + more);
		const [fork, guessing] = [session.fork(), session.fork()];
		const path = join(folder, "held.session");
		await session.save(path);
		const restored = await model.restoreSession(path, { chunk: 1 });
		const want = await continuation(session);
		expect(want.recalled.length).toBeGreaterThan(0);
		expect(await continuation(fork)).toEqual(want);
		expect(await continuation(restored)).toEqual(want);
		expect(await continuation(guessing, 6)).toEqual(want);
	}
});

test("is not each token's own", async () => {
	const each = model.createSession({ policy: parsePolicy("sink:4,memory:64/2x8,rolling:28"), chunk: 1 });
	await each.append(story.repeat(2));
	expect((await continuation(each)).logprobs).not.toEqual(
		(await continuation(await told(story.repeat(2)))).logprobs,
	);
});

test("sessions of a batch choose at times of their own, and go on as alone", async () => {
	const texts = [story, story.slice(0, 71), story.slice(3, 83)];
	const batch = model.createBatch({ policy, size: 3 });
	const together = texts.map(() => batch.createSession({ chunk: 1 }));
	for (const [i, session] of together.entries()) await session.append(texts[i] as string);
	const got = await Promise.all(together.map((session) => continuation(session)));
	for (const [i, text] of texts.entries()) expect(got[i]).toEqual(await continuation(await told(text)));
	expect(() => batch.createSession({ policy: parsePolicy("sink:4,memory:64/2x8,rolling:28") })).toThrow(
		"expected a policy within the batch's",
	);
	batch.dispose();
});

test("a rewind behind the token that chose forgets what it chose, a shorter one does not", async () => {
	const session = await told(story);
	await go(session, 12);
	const path = join(folder, "rewound.session");
	const held = async (): Promise<SessionHeader["held"]> => {
		await session.save(path);
		return sealedHeader<SessionHeader>(readFileSync(path)).held;
	};
	const before = await held();
	const { length } = session.stats;
	const at = before?.at as number;
	expect(length - at).toBeLessThanOrEqual(6);
	session.rewind(length - at - 1);
	expect(await held()).toEqual(before);
	session.rewind(1);
	expect(await held()).toBeUndefined();
	expect((await go(session)).ids).toHaveLength(23);
	expect((await held())?.at).toBeGreaterThanOrEqual(at);
});

test("of a file whose header lies under a good checksum is refused", async () => {
	const session = await told(story);
	await go(session, 4);
	const path = join(folder, "lying.session");
	await session.save(path);
	const whole = readFileSync(path);
	const { held } = sealedHeader<SessionHeader>(whole);
	expect(held?.blocks).toHaveLength(3 * 2 * 2);
	for (const change of [
		{ at: -1 },
		{ at: 1e9 },
		{ at: 0.5 },
		{ blocks: [] },
		{ blocks: "all" },
		{ blocks: undefined },
	]) {
		writeFileSync(path, resealed(whole, { held: { ...held, ...change } }));
		await expect(model.restoreSession(path), JSON.stringify(change)).rejects.toThrow(
			"expected a choice of 12 blocks",
		);
	}
});
