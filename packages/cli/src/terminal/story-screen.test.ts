import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { StoryScreen } from "./story-screen.ts";
import { textWidth, widthOf } from "./width.ts";

const esc = "\x1b";

/** As much of a terminal as the screen uses: rows of characters, a cursor, erasing, growth at the bottom. */
class Terminal extends PassThrough {
	columns: number;
	/** All rows since the start; a wide character is followed by an empty cell. */
	readonly #rows: string[][] = [[]];
	row = 0;
	column = 0;

	constructor(columns: number) {
		super();
		this.columns = columns;
		this.on("data", (bytes: Buffer) => this.#replay(bytes.toString()));
	}

	get text(): string[] {
		return this.#rows.map((row) =>
			Array.from(row, (cell) => cell ?? " ")
				.join("")
				.trimEnd(),
		);
	}

	#replay(output: string): void {
		for (const piece of output.split(new RegExp(`(${esc}\\[\\d*[A-Za-z])`))) {
			if (piece.startsWith(esc)) this.#command(piece.at(-1) ?? "", Number(piece.slice(2, -1) || 1));
			else for (const character of piece) this.#character(character);
		}
	}

	#command(letter: string, count: number): void {
		if (letter === "A") this.row -= count;
		else if (letter === "C") this.column += count;
		else if (letter === "K" || letter === "J") {
			this.#rows[this.row]?.splice(this.column);
			if (letter === "J") this.#rows.splice(this.row + 1);
		}
	}

	#character(character: string): void {
		if (character === "\r") this.column = 0;
		else if (character === "\n") {
			this.row++;
			this.#rows[this.row] ??= [];
		} else {
			const row = this.#rows[this.row] ?? [];
			row[this.column] = character;
			for (let extra = 1; extra < widthOf(character); extra++) row[this.column + extra] = "";
			this.column += widthOf(character);
			// A terminal would break the line by itself here, and the screen's own count would be wrong.
			if (this.column >= this.columns) throw new Error("wrote into the last column");
		}
	}
}

function screen(columns: number): { terminal: Terminal; story: StoryScreen } {
	const terminal = new Terminal(columns);
	return { terminal, story: new StoryScreen(terminal, { color: false }) };
}

test("lines break between words, however the text comes in pieces", () => {
	const text = "the quick brown fox jumps over the lazy dog";
	for (const size of [1, 2, 3, 7, 100]) {
		const { terminal, story } = screen(17);
		for (let at = 0; at < text.length; at += size) {
			story.write(text.slice(at, at + size));
			story.setStatus(["status"]);
		}
		story.close();
		expect(terminal.text).toEqual(["the quick brown", "fox jumps over", "the lazy dog", ""]);
	}
});

test("the status stands below the text and leaves nothing behind", () => {
	const { terminal, story } = screen(40);
	story.write("one\ntwo");
	story.setStatus(["12 tokens", "5 tok/s"]);
	expect(terminal.text).toEqual(["one", "two", "12 tokens · 5 tok/s"]);
	expect([terminal.row, terminal.column]).toEqual([1, 3]);
	story.write(" and\n\nthree");
	expect(terminal.text).toEqual(["one", "two and", "", "three", "12 tokens · 5 tok/s"]);
	story.close();
	expect(terminal.text).toEqual(["one", "two and", "", "three", ""]);
	expect([terminal.row, terminal.column]).toEqual([4, 0]);
});

test("a status that is too wide loses its last parts, then its end", () => {
	const { terminal, story } = screen(20);
	story.setStatus(["12 tokens", "5 tok/s", "memory"]);
	expect(terminal.text[1]).toBe("12 tokens · 5 tok/s");
	story.setStatus(["a first part that is too long", "b"]);
	expect(terminal.text[1]).toBe("a first part that i");
});

test("a word wider than the terminal is cut", () => {
	const { terminal, story } = screen(11);
	story.write("a 1234567890123 b");
	story.close();
	expect(terminal.text.join("|")).toBe("a|1234567890|123 b|");
});

test("wide characters count twice and break anywhere", () => {
	const { terminal, story } = screen(11);
	story.write("日本語日本語日本語");
	story.close();
	expect(terminal.text).toEqual(["日本語日本", "語日本語", ""]);
	expect(textWidth("e\u0301日😀")).toBe(5);
});

test("esc sequences of a model stay out of the terminal", () => {
	const { terminal, story } = screen(40);
	story.write(`a${esc}[2J\u0007\r\u009bb\u202ec`);
	story.close();
	expect(terminal.text).toEqual(["a[2Jbc", ""]);
});

test("the ^C of a terminal does not stay in the text", () => {
	const { terminal, story } = screen(17);
	story.write("the qui");
	terminal.write("^C");
	story.write("ck");
	expect(terminal.text).toEqual(["the qui^Cck"]);
	story.close();
	expect(terminal.text).toEqual(["the quick", ""]);
});

test("a narrower terminal: the text goes on in a row of its own", () => {
	const { terminal, story } = screen(40);
	story.write("twenty characters ok");
	story.setStatus(["a status of some length"]);
	terminal.columns = 12;
	terminal.emit("resize");
	story.write("more text here");
	story.close();
	expect(terminal.text).toEqual(["twenty characters ok", "more text", "here", ""]);
});
