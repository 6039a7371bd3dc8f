/** What the page keeps in a chat's session file besides the session. A file can be anybody's: it is checked. */
import type { ChatTurn } from "../protocol.ts";

export interface ChatNotes {
	readonly system: string;
	/** Tokens at which questions begin. */
	readonly starts: readonly number[];
	readonly turns: readonly ChatTurn[];
}

/** Nothing of what is not as the page writes it: a session file of the command line has no notes. */
export function chatNotes(data: unknown): ChatNotes {
	const { system, starts, turns } = (data ?? {}) as Partial<Record<keyof ChatNotes, unknown>>;
	return {
		system: typeof system === "string" ? system : "",
		starts: listOf(starts, Number.isSafeInteger),
		turns: listOf(turns, isTurn),
	};
}

function listOf<T>(value: unknown, check: (each: unknown) => boolean): readonly T[] {
	return Array.isArray(value) && value.every((each) => check(each)) ? value : [];
}

function isTurn(value: unknown): boolean {
	const { who, text, end, note } = (value ?? {}) as Partial<ChatTurn>;
	return (
		(who === "you" || who === "model") &&
		typeof text === "string" &&
		Number.isSafeInteger(end) &&
		(note === undefined || typeof note === "string")
	);
}
