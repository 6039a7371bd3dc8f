/**
 * JSON in which a file describes itself. `JSON.parse` keeps the last of two equal keys without a word; two readers of
 * one file could then see different tensors, so a repeated key is damage.
 */
import { damagedFile, quote } from "./damaged-file.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses UTF-8 JSON that must be an object without repeated keys. `what` names it in errors: "the header". */
export function parseJsonHeader(bytes: Uint8Array, path: string, what: string): JsonObject {
	let text: string;
	let value: unknown;
	try {
		text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
		value = JSON.parse(text);
	} catch (error) {
		const reason = error instanceof Error ? error.message.slice(0, 120) : String(error);
		throw damagedFile(path, `expected ${what} to be UTF-8 JSON, got something else (${reason})`);
	}
	if (!isObject(value))
		throw damagedFile(path, `expected ${what} to be a JSON object, got another JSON value`);
	const repeated = repeatedKey(text);
	if (repeated !== undefined)
		throw damagedFile(path, `${what} has the key ${quote(repeated)} twice in one object`);
	return value;
}

export function isObject(value: unknown): value is JsonObject {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first key that an object of the valid JSON `text` has twice. */
export function repeatedKey(text: string): string | undefined {
	/** The keys of each open object; undefined for an open array. */
	const open: (Set<string> | undefined)[] = [];
	for (let i = 0; i < text.length; i++) {
		const character = text[i];
		if (character === "{") open.push(new Set());
		else if (character === "[") open.push(undefined);
		else if (character === "}" || character === "]") open.pop();
		else if (character === '"') {
			const end = closingQuote(text, i);
			if (isKey(text, end)) {
				// Escapes are undone: "\u0061" and "a" are one key.
				const key = JSON.parse(text.slice(i, end + 1)) as string;
				const keys = open.at(-1);
				if (keys?.has(key)) return key;
				keys?.add(key);
			}
			i = end;
		}
	}
	return undefined;
}

function closingQuote(text: string, opening: number): number {
	let i = opening + 1;
	while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
	return i;
}

function isKey(text: string, closing: number): boolean {
	let i = closing + 1;
	while (text[i] === " " || text[i] === "\n" || text[i] === "\r" || text[i] === "\t") i++;
	return text[i] === ":";
}
