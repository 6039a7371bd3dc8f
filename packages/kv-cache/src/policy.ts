/**
 * A policy is a cascade of segments, oldest entries first: `[sink(4), rolling(1020)]`. Here it is checked as a
 * whole, and turned into text and back ("sink:4,rolling:1020").
 */
import { fail } from "./errors.ts";
import { compressive, memory } from "./receivers.ts";
import type { Grouping, Segment } from "./segment.ts";
import { dense, recompute, rolling, sink } from "./segments.ts";

/** Sinks, then segments that take drops, then the tail. */
export type Policy = readonly Segment[];

/**
 * Reads a policy from text: "dense", "rolling:256", "sink:4,rolling:252", "rolling:252:turns", "recompute:256",
 * "sink:4,memory:16384/8x16,rolling:1020", "sink:4,compressive:128/4/mean,rolling:892".
 * Throws on anything else, and on a policy that cannot be (two tails, a sink after the tail).
 */
export function parsePolicy(text: string): Policy {
	return checkPolicy(String(text).split(",").map(parseSegment));
}

/** The canonical text of a policy; `parsePolicy` reads it back. Throws on a policy that cannot be. */
export function formatPolicy(policy: Policy): string {
	return describe(checkPolicy(policy));
}

/** Returns the policy when its segments can stand together. */
export function checkPolicy(policy: Policy): Policy {
	if (!Array.isArray(policy) || policy.some((segment) => typeof segment?.describe !== "function")) {
		fail(
			`policy: expected an array of segments, got ${typeof policy}. ` +
				"Write [sink(4), rolling(252)], or read a text with parsePolicy.",
		);
	}
	const tail = policy.findIndex((segment) => segment.takes === "rest");
	if (tail < 0) {
		fail(
			`policy: expected a last segment that takes every token, got "${describe(policy)}". ` +
				"End it with rolling or dense.",
		);
	}
	if (tail !== policy.length - 1) {
		const after = policy[tail + 1] as Segment;
		fail(
			`policy: expected nothing after ${policy[tail]?.describe()}, which takes every token, ` +
				`got ${after.describe()}. Write sinks first, and one of rolling and dense last.`,
		);
	}
	if (policy.length > 1 && policy[tail]?.kind === "recompute") {
		fail(
			`policy: expected recompute alone, got "${describe(policy)}". ` +
				"It keeps no keys and values that another segment could add to.",
		);
	}
	const sinks = policy.findLastIndex((segment) => segment.takes === "tokens") + 1;
	if (policy.slice(0, sinks).some((segment) => segment.takes !== "tokens")) {
		fail(`policy: expected sinks before all other segments, got "${describe(policy)}".`);
	}
	const recalling = policy.filter(({ recall }) => recall !== undefined);
	if (recalling.length > 1)
		fail(
			`policy: expected one archive at most, got "${describe(policy)}". Give one of them all the capacity.`,
		);
	for (const [k, { takes }] of policy.entries()) if (typeof takes === "object") checkDrops(policy, k);
	const chosen = policy.findIndex(({ eviction }) => eviction === "least-recalled");
	if (typeof policy[chosen - 1]?.takes === "object")
		fail(
			`policy: expected nothing to take what leaves ${policy[chosen]?.describe()}, which is from here and there in ` +
				`the stream, got ${policy[chosen - 1]?.describe()}. Let the oldest leave first, or nothing take it.`,
		);
	return policy;
}

/** That what follows segment k drops what k takes, and holds a whole group of it. */
function checkDrops(policy: Policy, k: number): void {
	const segment = policy[k] as Segment;
	const next = policy[k + 1] as Segment;
	if (next.slots === Number.POSITIVE_INFINITY) {
		fail(
			`policy: expected a window after ${segment.describe()}, which takes what it drops, got ${next.describe()}, ` +
				"which drops nothing. End the policy with rolling.",
		);
	}
	const { group } = segment.takes as Grouping;
	if (group > next.slots) {
		fail(
			`policy: expected groups within the ${next.slots} slots of ${next.describe()}, got ${group} for ` +
				`${segment.describe()}. Use a larger window or smaller groups.`,
		);
	}
}

const describe = (policy: Policy): string => policy.map((segment) => segment.describe()).join();

const forms: readonly (readonly [RegExp, (...parts: string[]) => Segment])[] = [
	[/^dense$/, () => dense()],
	[/^sink:(\d+)$/, (count) => sink(Number(count))],
	[/^rolling:(\d+)(:turns)?$/, (slots, turns) => rolling(Number(slots), { turns: turns !== undefined })],
	[/^recompute:(\d+)$/, (window) => recompute(Number(window))],
	[
		/^compressive:(\d+)\/(\d+)(?:\/([a-z][a-z0-9-]*))?$/,
		(slots, rate, compressor = "mean") =>
			compressive({ slots: Number(slots), rate: Number(rate), compressor }),
	],
	[
		/^memory:(\d+)\/(\d+)x(\d+)(?:\/(\d+))?(:rotated)?(:least-recalled)?$/,
		(capacity, recall, blockSize, every = "1", rotated, chosen) =>
			memory({
				capacity: Number(capacity),
				recall: Number(recall),
				blockSize: Number(blockSize),
				every: Number(every),
				chosenBy: rotated === undefined ? "unrotated" : "rotated",
				eviction: chosen === undefined ? "oldest" : "least-recalled",
			}),
	],
];

function parseSegment(text: string): Segment {
	for (const [form, make] of forms) {
		const match = form.exec(text);
		if (match !== null) return make(...match.slice(1));
	}
	fail(
		"policy: expected dense, sink:N, rolling:N, rolling:N:turns, recompute:N, memory:CAPACITY/BLOCKSxSIZE/EVERY, " +
			`memory:…:rotated:least-recalled or compressive:SLOTS/RATE/COMPRESSOR, got "${text}". Join segments by commas, as in "sink:4,rolling:252".`,
	);
}
