import { memory, rolling, sink } from "@tok/kv-cache";
import type { RecalledPassage, Session } from "@tok/lm";
import { expect, test } from "vitest";
import { type HeadRanking, rankMemoryHeads } from "./memory-heads.ts";
import { fillerText } from "./testing/filler.ts";
import { type RecallingModel, recallingModel } from "./testing/recalling-model.ts";

const policy = [sink(4), memory({ capacity: 4096 }), rolling(100)];
const filler = fillerText(4000);

/** A model that copies, and whose sessions say that they recalled these passages of their streams. */
function watched(
	passages: (ids: readonly number[], text: string) => readonly RecalledPassage[],
): RecallingModel {
	const model = recallingModel(() => Number.POSITIVE_INFINITY);
	const create = model.createSession.bind(model);
	return Object.assign(model, {
		createSession(...args: Parameters<typeof create>): Session {
			const session = create(...args);
			const ids = model.streams.at(-1)?.ids ?? [];
			return Object.assign(session, { recalled: () => passages(ids, model.tokenizer.decode(ids)) });
		},
	});
}

/** Tokens are bytes here, so places in the text are stream indices, but for the token that begins it. */
function passage(start: number, length: number, shares: readonly (readonly [number, number, number])[]) {
	const heads = shares.map(([layer, head, mass]) => ({ layer, head, mass }));
	const ids = new Array<number>(length).fill(0);
	return { source: "stream" as const, start, ids, text: "", mass: 0, layers: [], heads };
}

test("heads are ranked by the attention that falls on the planted sentence, and on nothing else", async () => {
	const model = watched((ids) => {
		const text = String.fromCharCode(...ids.map((id) => (id < 256 ? id : 32)));
		const start = text.indexOf("The secret code is");
		return [
			passage(start - 40, 20, [[0, 0, 0.9]]),
			passage(start - 8, 16, [
				[3, 1, 0.25],
				[1, 0, 0.5],
			]),
			passage(start + 8, 8, [[3, 1, 0.5]]),
			passage(start + 60, 20, [[2, 0, 0.9]]),
		];
	});
	const progress: HeadRanking[] = [];
	const ranking = await rankMemoryHeads(model, {
		policy,
		filler,
		gap: 300,
		samples: 3,
		onProgress: ({ results }) => progress.push(results),
	});
	expect(ranking.heads).toEqual([
		{ layer: 3, head: 1, mass: 0.75 },
		{ layer: 1, head: 0, mass: 0.5 },
	]);
	expect(ranking).toMatchObject({ exact: 3, samples: 3 });
	expect(progress.at(-1)).toEqual(ranking);
	expect(model.open).toBe(0);
});

test("what came from an attached archive is not the stream's", async () => {
	const model = watched(() => [{ ...passage(0, 4000, [[0, 0, 1]]), source: "archive" }]);
	expect((await rankMemoryHeads(model, { policy, filler, gap: 300, samples: 1 })).heads).toEqual([]);
});

test("a policy without memory is an error", async () => {
	const plain = [sink(4), rolling(100)];
	await expect(rankMemoryHeads(recallingModel(), { policy: plain, filler })).rejects.toThrow(
		"[tok/eval] policy: expected one with memory, got sink:4,rolling:100.",
	);
});
