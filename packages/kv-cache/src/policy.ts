/**
 * A policy is a cascade of segments, oldest entries first: `[sink(4), rolling(1020)]`. Here it is checked as a
 * whole, and turned into text and back ("sink:4,rolling:1020").
 */
import { fail } from "./errors.ts";
import type { Segment } from "./segment.ts";
import { dense, recompute, rolling, sink } from "./segments.ts";

/** Sinks, then segments that take drops, then the tail. */
export type Policy = readonly Segment[];

/**
 * Reads a policy from text: "dense", "rolling:256", "sink:4,rolling:252", "rolling:252:turns", "recompute:256".
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
	return policy;
}

const describe = (policy: Policy): string => policy.map((segment) => segment.describe()).join();

function parseSegment(text: string): Segment {
	const [kind, size, flag, ...rest] = text.split(":");
	if (text === "dense") return dense();
	if (size !== undefined && /^\d+$/.test(size) && rest.length === 0) {
		const count = Number(size);
		if (kind === "sink" && flag === undefined) return sink(count);
		if (kind === "recompute" && flag === undefined) return recompute(count);
		if (kind === "rolling" && (flag === undefined || flag === "turns")) {
			return rolling(count, { turns: flag === "turns" });
		}
	}
	fail(
		`policy: expected dense, sink:N, rolling:N, rolling:N:turns or recompute:N, got "${text}". ` +
			'Join segments by commas, as in "sink:4,rolling:252".',
	);
}
