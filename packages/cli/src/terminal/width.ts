/** How many columns text takes on a terminal (Unicode Standard Annex #11, to the precision that wrapping needs). */

const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const wide =
	/^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]$/u;

/** Columns of one character (code point): 0, 1 or 2. */
export function widthOf(character: string): number {
	if (character < "\u0300") return 1;
	if (zeroWidth.test(character)) return 0;
	return wide.test(character) ? 2 : 1;
}

export function textWidth(text: string): number {
	let width = 0;
	for (const character of text) width += widthOf(character);
	return width;
}
