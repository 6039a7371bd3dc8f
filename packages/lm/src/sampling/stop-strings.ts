/**
 * Finds the first stop string in a text that comes bit by bit. Text that could be its beginning is held back until it
 * is clear, so that nothing of a stop string is ever shown. The first is the one that is complete first, and the
 * longest of those that end together; so it does not matter how the text was cut. Holds back less than the longest
 * stop string.
 */
import { TokError } from "@tok/runtime";

export interface StopResult {
	/** Text that is free to be shown. */
	readonly text: string;
	/** Whether a stop string came. What comes after it is dropped. */
	readonly stopped: boolean;
}

export interface StopMatcher {
	push(text: string): StopResult;
	/** At the end of the text: what was held back. */
	flush(): string;
}

/** Throws a TokError for an empty stop string, which would stop everything. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
	if (stops.includes("")) {
		throw new TokError(
			"lm",
			"stop: expected texts of at least one character, got an empty one. Leave it out.",
		);
	}
	let held = "";
	let stopped = false;
	return {
		push(text) {
			if (stopped) return { text: "", stopped };
			held += text;
			const start = firstStop(held, stops);
			stopped = start !== undefined;
			const free = start ?? held.length - longestBeginning(held, stops);
			const result = { text: held.slice(0, free), stopped };
			held = stopped ? "" : held.slice(free);
			return result;
		},
		flush() {
			const rest = held;
			held = "";
			return rest;
		},
	};
}

/** Where the stop string that is complete first begins. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
	let start: number | undefined;
	let end = Infinity;
	for (const stop of stops) {
		const at = text.indexOf(stop);
		if (at === -1) continue;
		const stopEnd = at + stop.length;
		if (stopEnd < end || (stopEnd === end && at < (start ?? Infinity))) {
			start = at;
			end = stopEnd;
		}
	}
	return start;
}

/** Length of the longest end of the text that begins a stop string. */
function longestBeginning(text: string, stops: readonly string[]): number {
	let longest = 0;
	for (const stop of stops) {
		for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
			if (text.endsWith(stop.slice(0, length))) longest = length;
		}
	}
	return longest;
}
