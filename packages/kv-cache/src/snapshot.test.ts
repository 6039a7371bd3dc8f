import { describe, expect, test } from "vitest";
import {
	type CacheSnapshot,
	createCache,
	dense,
	parsePolicy,
	recompute,
	restoreCache,
	rolling,
	sink,
} from "./index.ts";

function snapshotAfter(text: string, tokens: number): CacheSnapshot {
	const cache = createCache(parsePolicy(text));
	while (cache.length < tokens) {
		if (cache.length % 3 === 2) cache.beginTurn();
		cache.commit(cache.plan(1));
	}
	return JSON.parse(JSON.stringify(cache.snapshot()));
}

const restore = (snapshot: unknown, policy = "sink:2,rolling:4:turns") =>
	restoreCache(parsePolicy(policy), snapshot as CacheSnapshot);

describe("snapshot", () => {
	test("K19: a snapshot is plain JSON", () => {
		expect(snapshotAfter("sink:2,rolling:4:turns", 9)).toEqual({
			version: 1,
			policy: "sink:2,rolling:4:turns",
			positions: "in-cache",
			length: 9,
			segments: [
				{ start: 0, end: 2, slots: 2 },
				{ start: 3, end: 7, slots: 4 },
			],
			turns: [6],
		});
	});

	test.each([0, 1, 2, 5, 6, 7, 300])(
		"K19: restored after %i tokens, every policy goes on alike",
		(tokens) => {
			for (const text of ["dense", "sink:2,dense", "rolling:5", "sink:2,rolling:4:turns", "recompute:3"]) {
				const snapshot = snapshotAfter(text, tokens);
				const cache = restore(snapshot, text);
				expect(cache.snapshot()).toEqual(snapshot);
				expect(cache.plan(9)).toEqual(restore(snapshot, text).plan(9));
				expect(cache.length).toBe(tokens);
			}
		},
	);

	test("K4 K19: slots that dense has grown to are kept", () => {
		const cache = createCache([dense()]);
		cache.commit(cache.plan(1000));
		cache.rewind(999);
		expect(restoreCache([dense()], cache.snapshot()).slots()).toEqual([1024]);
	});

	test("K4 K19: slots that a window has grown to are kept, and no others are believed", () => {
		const cache = createCache([rolling(700)]);
		cache.commit(cache.plan(600));
		cache.rewind(599);
		const snapshot = cache.snapshot();
		expect(restoreCache([rolling(700)], snapshot).slots()).toEqual([640]);
		for (const slots of [0, 127, 300, 699, 701, 1024]) {
			const other = { ...snapshot, segments: [{ start: 0, end: 1, slots }] };
			expect(() => restoreCache([rolling(700)], other)).toThrow("expected 128 slots");
		}
	});

	test("K19: another policy's snapshot is an error", () => {
		const snapshot = snapshotAfter("sink:2,rolling:4:turns", 9);
		expect(() => restore(snapshot, "sink:2,rolling:4")).toThrow(
			'[tok/kv-cache] snapshot: expected policy "sink:2,rolling:4", got "sink:2,rolling:4:turns".',
		);
		expect(() => restore(snapshot, "dense")).toThrow("expected policy");
	});

	type Alter = (s: { -readonly [K in keyof CacheSnapshot]: unknown } & Record<string, unknown>) => void;
	const segments = (...ranges: readonly (readonly [number, number, number])[]): Alter => {
		return (s) => {
			s.segments = ranges.map(([start, end, slots]) => ({ start, end, slots }));
		};
	};
	const altered: [string, Alter][] = [
		[
			"another version",
			(s) => {
				s.version = 2;
			},
		],
		[
			"no positions",
			(s) => {
				s.positions = undefined;
			},
		],
		[
			"unknown positions",
			(s) => {
				s.positions = "relative";
			},
		],
		[
			"a length that is no number",
			(s) => {
				s.length = "9";
			},
		],
		[
			"another length",
			(s) => {
				s.length = 10;
			},
		],
		[
			"no segments",
			(s) => {
				s.segments = undefined;
			},
		],
		[
			"segments that are none",
			(s) => {
				s.segments = [null, null];
			},
		],
		["too few segments", segments([0, 2, 2])],
		["too many segments", segments([0, 2, 2], [3, 7, 4], [0, 0, 4])],
		["a fraction", segments([0, 2, 2], [2.5, 7, 4])],
		["a negative start", segments([0, 2, 2], [-1, 7, 4])],
		["an end before its start", segments([0, 2, 2], [8, 7, 4])],
		["more entries than slots", segments([0, 2, 2], [2, 7, 4])],
		["an overfull sink", segments([0, 3, 2], [3, 6, 4])],
		["a sink that dropped", segments([1, 2, 2], [3, 7, 4])],
		["a window after a sink with room", segments([0, 1, 2], [4, 8, 4])],
		["other buffers", segments([0, 2, 2], [3, 7, 8])],
		[
			"no turns",
			(s) => {
				s.turns = undefined;
			},
		],
		[
			"a turn before the window",
			(s) => {
				s.turns = [3];
			},
		],
		[
			"a turn after the next token",
			(s) => {
				s.turns = [8];
			},
		],
		[
			"turns out of order",
			(s) => {
				s.turns = [6, 5];
			},
		],
		[
			"the same turn twice",
			(s) => {
				s.turns = [5, 5];
			},
		],
		[
			"a turn that is no number",
			(s) => {
				s.turns = ["5"];
			},
		],
	];
	test.each(altered)("K19: %s is an error", (_, alter) => {
		const snapshot = snapshotAfter("sink:2,rolling:4:turns", 9) as Parameters<Alter>[0];
		alter(snapshot);
		expect(() => restore(snapshot)).toThrow(/^\[tok\/kv-cache] (snapshot|positions): /);
	});

	test("K19: dense drops nothing, and its slots grow in steps", () => {
		const snapshot = snapshotAfter("dense", 300);
		for (const range of [
			{ start: 1, end: 300, slots: 384 },
			{ start: 0, end: 300, slots: 256 },
			{ start: 0, end: 300, slots: 400 },
		]) {
			expect(() => restore({ ...snapshot, segments: [range] }, "dense")).toThrow("segment dense: expected");
		}
	});

	test("K19: turns belong to policies that take note of them", () => {
		expect(() => restore({ ...snapshotAfter("rolling:4", 9), turns: [6] }, "rolling:4")).toThrow(
			"turn starts",
		);
	});

	test.each([undefined, null, 5, "", [], {}])("K19: %j is no snapshot", (value) => {
		expect(() => restore(value)).toThrow("snapshot: expected version 1, got undefined");
	});

	test("K19: a snapshot shares nothing with the cache", () => {
		const cache = createCache([sink(1), rolling(4)]);
		const snapshot = cache.snapshot();
		cache.commit(cache.plan(3));
		expect(snapshot.length).toBe(0);
		expect(restoreCache(cache.policy, snapshot).length).toBe(0);
	});

	test("K21: of recompute the range of tokens to keep is restored", () => {
		const snapshot = snapshotAfter("recompute:3", 9);
		expect(snapshot.segments).toEqual([{ start: 6, end: 9, slots: 0 }]);
		expect(restoreCache([recompute(3)], snapshot).retained).toBe(3);
	});
});
