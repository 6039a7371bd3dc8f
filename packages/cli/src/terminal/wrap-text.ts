/** Text in lines between words, for what is shown whole; text that comes piece by piece is `StoryScreen`'s. */
import { textWidth, widthOf } from "./width.ts";

/** Lines of at most `columns`; a word that is wider is cut. "" has no line. */
export function wrapText(text: string, columns: number): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ").flatMap((word) => pieces(word, columns))) {
		if (line !== "" && textWidth(line) + 1 + textWidth(word) > columns) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	return line === "" ? lines : [...lines, line];
}

function pieces(word: string, columns: number): string[] {
	const cut: string[] = [];
	let piece = "";
	let width = 0;
	for (const character of word) {
		if (width + widthOf(character) > columns && piece !== "") {
			cut.push(piece);
			piece = "";
			width = 0;
		}
		piece += character;
		width += widthOf(character);
	}
	return piece === "" ? cut : [...cut, piece];
}
