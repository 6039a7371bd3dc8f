/**
 * The alphabet of byte-level BPE: every byte as one printable character, so that a vocabulary is plain text.
 * Printable Latin-1 bytes stand for themselves; the other 68 are numbered up from U+0100. From GPT-2's `encoder.py`
 * (Radford et al. 2019, `bytes_to_unicode`).
 */

const isPrintable = (byte: number): boolean =>
	(byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** [256], the character of each byte. */
export const byteAlphabet: readonly string[] = (() => {
	let next = 0x100;
	return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

/** Indexed by code unit; 256 marks a character that is outside the alphabet. */
const bytes: Uint16Array = (() => {
	const table = new Uint16Array(0x100 + 68).fill(256);
	for (const [byte, character] of byteAlphabet.entries()) table[character.charCodeAt(0)] = byte;
	return table;
})();

const utf8 = new TextEncoder();

/** The UTF-8 bytes of a text, one character each. */
export function toByteAlphabet(text: string): string {
	let result = "";
	for (const byte of utf8.encode(text)) result += byteAlphabet[byte];
	return result;
}

/** The bytes that a vocabulary entry stands for; undefined when a character is outside the alphabet. */
export function fromByteAlphabet(token: string): Uint8Array | undefined {
	const result = new Uint8Array(token.length);
	for (let index = 0; index < token.length; index++) {
		const byte = bytes[token.charCodeAt(index)] ?? 256;
		if (byte === 256) return undefined;
		result[index] = byte;
	}
	return result;
}
