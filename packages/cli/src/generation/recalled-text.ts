/** What an answer drew on, for people and for JSON. */
import type { RecalledPassage } from "@tok/lm";
import { formatCount } from "../terminal/format.ts";
import { oneLine } from "../terminal/printable.ts";
import { wrapText } from "../terminal/wrap-text.ts";

/** Passages that are shown: the rest is what every text has a little of. */
const shownPassages = 5;
const writtenPassages = 16;
const shownLayers = 3;
const shownLines = 4;
/** Where a passage's text begins, below its share. */
const indent = "         ";

/** The passages of `--json`. */
export function recalledJson(passages: readonly RecalledPassage[]): object[] {
	return passages
		.slice(0, writtenPassages)
		.map(({ ids, heads: _, ...passage }) => ({ ...passage, tokens: ids.length }));
}

/**
 * Shares, places and texts, the most drawn on first.
 *
 *      4.8 %  tokens 500–531, most in layers 20 (27 %), 17 (20 %), 14 (18 %)
 *             The harbour master's secret number is 7419.
 */
export function recalledText(passages: readonly RecalledPassage[], columns: number): string {
	if (passages.length === 0)
		return "After the last answer's first token nothing was recalled of what had left the window.";
	const whole = passages.reduce((sum, { mass }) => sum + mass, 0);
	const head =
		`${percent(whole)} of the last answer's attention went to ${formatCount(passages.length)} ` +
		`${passages.length === 1 ? "passage" : "passages"} outside the window` +
		`${passages.length > shownPassages ? `; most to these ${shownPassages}` : ""}.`;
	const shown = passages.slice(0, shownPassages).map((passage) => {
		const lines = wrapText(oneLine(passage.text), columns - indent.length);
		const text = lines.length > shownLines ? [...lines.slice(0, shownLines), "…"] : lines;
		const [place = "", ...more] = wrapText(describePlace(passage), columns - indent.length);
		return [
			`${percent(passage.mass).padStart(indent.length - 2)}  ${place}`,
			...[...more, ...text].map((line) => indent + line),
		].join("\n");
	});
	return [wrapText(head, columns).join("\n"), ...shown].join("\n\n");
}

function describePlace({ source, start, ids, layers }: RecalledPassage): string {
	const most = layers.slice(0, shownLayers).map(({ layer, mass }) => `${layer}\u00a0(${percent(mass)})`);
	const where =
		`tokens ${formatCount(start)}–${formatCount(start + ids.length - 1)}` +
		(source === "archive" ? " of the archive" : "");
	return `${where}, most in layer${most.length === 1 ? "" : "s"} ${most.join(", ")}`;
}

/** A line does not end before the sign. */
function percent(share: number): string {
	const number = (100 * share).toFixed(share < 0.0995 ? 1 : 0);
	return `${number === "0.0" ? "<0.1" : number}\u00a0%`;
}
