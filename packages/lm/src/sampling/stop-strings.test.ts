import { TokError } from "@tok/runtime";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createStopMatcher } from "./stop-strings.ts";

/** Looks at every beginning of the text in turn. */
function naive(text: string, stops: readonly string[]): { shown: string; stopped: boolean } {
	for (let end = 0; end <= text.length; end++) {
		const ending = stops
			.filter((stop) => text.slice(0, end).endsWith(stop))
			.sort((a, b) => b.length - a.length);
		if (ending[0] !== undefined) return { shown: text.slice(0, end - ending[0].length), stopped: true };
	}
	return { shown: text, stopped: false };
}

const few = (maxLength: number, minLength = 0) =>
	fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength, maxLength });

test("however the text is cut, the result is that of a plain search, and nothing of a stop string is shown", () => {
	fc.assert(
		fc.property(
			fc.array(few(4), { maxLength: 12 }),
			fc.array(few(5, 1), { maxLength: 4 }),
			(pieces, stops) => {
				const matcher = createStopMatcher(stops);
				const expected = naive(pieces.join(""), stops);
				let shown = "";
				let stopped = false;
				for (const piece of pieces) {
					const result = matcher.push(piece);
					shown += result.text;
					stopped = result.stopped;
					expect(expected.shown.startsWith(shown)).toBe(true);
				}
				expect({ shown: shown + matcher.flush(), stopped }).toEqual(expected);
			},
		),
		{ numRuns: 2000 },
	);
});

test("holds back only what may begin a stop string", () => {
	const matcher = createStopMatcher(["\nUser:"]);
	expect(matcher.push("Hi\nUs")).toEqual({ text: "Hi", stopped: false });
	expect(matcher.push("eful")).toEqual({ text: "\nUseful", stopped: false });
	expect(matcher.push("\nUser: x")).toEqual({ text: "", stopped: true });
	expect(matcher.push("more")).toEqual({ text: "", stopped: true });
	expect(matcher.flush()).toBe("");
});

test("without stop strings everything passes; an empty one is an error", () => {
	expect(createStopMatcher([]).push("abc")).toEqual({ text: "abc", stopped: false });
	expect(() => createStopMatcher(["a", ""])).toThrow(TokError);
});
