/**
 * Typed reading of JSON whose shape nobody has checked. A field of a wrong type counts as absent; the caller says what
 * it needs.
 */
import { TokError } from "@tok/runtime";

/** The text of a file of a model's folder; undefined when there is none. */
export type ReadText = (name: string) => Promise<string | undefined>;

export type JsonObject = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): JsonObject | undefined {
	return typeof value === "object" && value !== null && !Array.isArray(value)
		? (value as JsonObject)
		: undefined;
}

export function asArray(value: unknown): readonly unknown[] | undefined {
	return Array.isArray(value) ? value : undefined;
}

export function asString(value: unknown): string | undefined {
	return typeof value === "string" ? value : undefined;
}

/** Ids end where no vocabulary comes near, since tables as long as the highest id are made. */
const MOST_IDS = 2 ** 22;

export function asId(value: unknown): number | undefined {
	const isId = typeof value === "number" && Number.isInteger(value) && value >= 0 && value < MOST_IDS;
	return isId ? value : undefined;
}

/** A token as transformers writes it: its text, or an object with its text as `content`. */
export function asTokenText(value: unknown): string | undefined {
	return asString(value) ?? asString(asObject(value)?.content);
}

/** A file that holds a JSON object; undefined when there is none. Throws a TokError for anything else. */
export async function readJson(readText: ReadText, name: string): Promise<JsonObject | undefined> {
	const text = await readText(name);
	if (text === undefined) return undefined;
	try {
		const value = asObject(JSON.parse(text));
		if (value !== undefined) return value;
	} catch (cause) {
		throw new TokError("lm", `${name}: expected JSON, got text that is not. Download the file again.`, {
			cause,
		});
	}
	throw new TokError("lm", `${name}: expected a JSON object. Download the file again.`);
}
