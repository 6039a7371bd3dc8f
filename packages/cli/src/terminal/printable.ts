/** A model, and a text that it has read, may hold anything: control characters never reach the terminal. */

/** False for control characters, escape sequences' among them, and for marks that reorder or break lines. */
export function isPrintable(character: string): boolean {
	return !/^[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]$/u.test(character);
}

/** Text as one line: white space is a space, whatever it was, and nothing is left that is not printable. */
export function oneLine(text: string): string {
	const spaced = text.replace(/\s+/gu, " ").trim();
	return [...spaced].filter(isPrintable).join("");
}
