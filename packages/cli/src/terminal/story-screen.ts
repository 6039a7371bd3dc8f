/**
 * Endless text above a status line. The text is wrapped between words; the status stands on the row below the one
 * that is being written, so it comes to rest at the bottom of the screen.
 *
 * Only relative moves and erasing are used: no scroll region, no hidden cursor, no alternate screen. So nothing has
 * to be undone when the program ends, however it ends, and the text stays in the terminal's history.
 */
import type { Output } from "../io.ts";
import { isPrintable } from "./printable.ts";
import { textWidth, widthOf } from "./width.ts";

const eraseBelow = "\x1b[J";
const eraseToEnd = "\x1b[K";

export class StoryScreen {
	readonly #output: Output;
	readonly #dim: (text: string) => string;
	/** What stands on the row that is being written, and its columns. */
	#row = "";
	#column = 0;
	/** What has been written of the last word, which may still have to move to the next row. */
	#word = "";
	#status = "";
	#shown = false;
	readonly #onResize = (): void => this.#resized();

	constructor(output: Output, { color }: { readonly color: boolean }) {
		this.#output = output;
		this.#dim = color ? (text) => `\x1b[2m${text}\x1b[22m` : (text) => text;
		output.on("resize", this.#onResize);
	}

	/** Columns that text may fill: the last one stays empty, as terminals differ in what follows it. */
	get #limit(): number {
		return Math.max(8, (this.#output.columns ?? 80) - 1);
	}

	/** Adds text. False when the stream wants a pause. */
	write(text: string): boolean {
		let out = "";
		let rows = 0;
		for (const character of text) {
			if (character === "\n") {
				out += this.#newRow("");
				rows++;
			} else if (character === " " || character === "\t") {
				this.#word = "";
				// A space at the end of a row is the break itself.
				if (this.#column >= this.#limit) continue;
				out += " ";
				this.#row += " ";
				this.#column++;
			} else if (isPrintable(character)) {
				const width = widthOf(character);
				if (this.#column + width > this.#limit) {
					const moved = this.#word;
					const start = this.#column - textWidth(moved);
					// A word as long as the row is cut; any other one moves to the next row.
					const moves = moved !== "" && start > 0;
					out += moves ? `${toColumn(start)}${eraseToEnd}${this.#newRow(moved)}` : this.#newRow("");
					rows++;
				}
				out += character;
				this.#row += character;
				this.#column += width;
				// Scripts without spaces break anywhere.
				this.#word = width === 2 ? "" : this.#word + character;
			}
		}
		if (rows === 0) return this.#output.write(out);
		const erase = this.#shown ? eraseBelow : "";
		this.#shown = false;
		return this.#output.write(erase + out + this.#statusRow());
	}

	/** Replaces the status line; parts are dropped from the end until it fits. */
	setStatus(parts: readonly string[]): void {
		this.#status = fit(parts, this.#limit);
		this.#output.write(this.#statusRow());
	}

	/** Takes the status line away and leaves the cursor on a row of its own below the text. */
	close(): void {
		this.#output.off("resize", this.#onResize);
		// The row is written once more, over the "^C" that a terminal puts into it.
		const row =
			this.#column > 0 ? `\r${this.#row}${eraseBelow}${this.#newRow("")}` : this.#shown ? eraseBelow : "";
		this.#output.write(row);
		this.#shown = false;
	}

	/** Begins a row with what has moved there. */
	#newRow(text: string): string {
		this.#row = text;
		this.#column = textWidth(text);
		this.#word = text;
		return `\r\n${text}`;
	}

	/** Writes the status below and comes back. The line feed scrolls when the text is on the last row. */
	#statusRow(): string {
		if (this.#status === "") return "";
		this.#shown = true;
		return `\r\n${eraseToEnd}${this.#dim(this.#status)}\x1b[1A${toColumn(this.#column)}`;
	}

	#resized(): void {
		let out = this.#shown ? eraseBelow : "";
		if (this.#column > this.#limit) {
			// Terminals differ in where the cursor is now: only a new row is certain.
			out += this.#newRow("");
		}
		this.#status = fit([this.#status], this.#limit);
		this.#output.write(out + this.#statusRow());
	}
}

/** From anywhere in the row: a "^C" that the terminal wrote has moved the cursor. */
function toColumn(column: number): string {
	return column > 0 ? `\r\x1b[${column}C` : "\r";
}

/** Joins as many parts as fit; the first one is cut if it must be. */
function fit(parts: readonly string[], limit: number): string {
	for (let count = parts.length; count > 0; count--) {
		const text = parts.slice(0, count).join(" · ");
		if (textWidth(text) <= limit) return text;
	}
	return (parts[0] ?? "").slice(0, limit);
}
