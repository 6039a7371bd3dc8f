import type { RecalledPassage } from "@tok/lm";
import { expect, test } from "vitest";
import { textWidth } from "../terminal/width.ts";
import { recalledJson, recalledText } from "./recalled-text.ts";

const passage = (start: number, mass: number, text: string): RecalledPassage => ({
	source: "stream",
	start,
	ids: Array.from({ length: 16 }, (_, i) => i),
	text,
	mass,
	layers: [20, 17, 14, 3].map((layer, i) => ({ layer, mass: (mass * 8) / (i + 2) })),
	heads: [],
});

const fact =
	"\nThe harbour master's secret number is 7419. \x1b[2JRemember it:\n\nthe secret number is 7419.";

const spaced = (text: string): string => text.replaceAll("\u00a0", " ");

test("shares, places and texts at 80 columns", () => {
	const passages = [passage(500, 0.048, fact), passage(12_052, 0.0004, "see the watery")];
	expect(spaced(recalledText(passages, 76))).toBe(`\
4.8 % of the last answer's attention went to 2 passages outside the window.

  4.8 %  tokens 500–515, most in layers 20 (19 %), 17 (13 %), 14 (9.6 %)
         The harbour master's secret number is 7419. [2JRemember it: the
         secret number is 7419.

 <0.1 %  tokens 12,052–12,067, most in layers 20 (0.2 %), 17 (0.1 %),
         14 (0.1 %)
         see the watery`);
});

test("many and long passages: the first ones, each cut", () => {
	const many = Array.from({ length: 40 }, (_, i) =>
		passage(16 * i, 0.02 - i / 4000, "a long word ".repeat(60)),
	);
	for (const columns of [36, 60, 76]) {
		const lines = recalledText(many, columns).split("\n");
		expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(columns);
		expect(lines.filter((line) => line.endsWith("…"))).toHaveLength(5);
	}
	expect(recalledText(many, 76)).toContain("went to 40 passages outside the window;\nmost to these 5.");
	expect(recalledJson(many)).toHaveLength(16);
	const archived = { ...passage(0, 0.2, "a word"), source: "archive" as const };
	expect(recalledText([archived], 76)).toContain("tokens 0–15 of the archive, most in layers 20");
	expect(recalledText([], 76)).toContain("nothing was recalled of what had left the window.");
});
