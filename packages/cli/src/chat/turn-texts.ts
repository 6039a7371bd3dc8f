/**
 * A conversation without an end as pieces of text: what comes before the first turn, one user's turn with the
 * opening of the answer, and what closes an answer. A piece never depends on the turns before it, so nothing of them
 * has to be kept; templates that rewrite earlier turns write the latest one all the same.
 */
import type { ChatTemplate } from "@tok/lm";
import { fail } from "../errors.ts";

export interface TurnTexts {
	/** Everything before the first turn, the system message (or the template's default) in it. May be "". */
	readonly opening: string;
	/** The first message. Some templates put the system message inside the first turn; the opening ends within it. */
	firstTurn(message: string): string;
	/** A further message, with the opening of the answer. */
	userTurn(message: string): string;
	/** What the template writes between an answer and the next turn. */
	readonly answerEnd: string;
}

/** Texts that no template writes by itself, to find again what was put in. */
const someAnswer = "\u2402an answer\u2403";
const someMessage = "\u2402a message\u2403";

/** Throws a TokError when the template leaves answers out, so that a turn cannot be told from what precedes it. */
export function turnTexts(template: ChatTemplate, system: string | undefined): TurnTexts {
	const before = system === undefined ? [] : [{ role: "system", content: system }];
	const user = (content: string) => ({ role: "user", content });
	const afterAnswer = (message: string): string => {
		const turns = [user(someMessage), { role: "assistant", content: someAnswer }, user(message)];
		const text = template.render([...before, ...turns]);
		const at = text.indexOf(someAnswer);
		return at < 0
			? fail("chat: the model's template leaves answers out.")
			: text.slice(at + someAnswer.length);
	};
	const answerEnd = afterAnswer("").startsWith(template.assistantEnd) ? template.assistantEnd : "";
	const userTurn = (message: string): string => afterAnswer(message).slice(answerEnd.length);
	const first = template.render([...before, user(someMessage)]);
	const laterTurn = userTurn(someMessage);
	const openingEnd = first.endsWith(laterTurn) ? first.length - laterTurn.length : first.indexOf(someMessage);
	const opening = first.slice(0, Math.max(0, openingEnd));
	const firstTurn = (message: string): string =>
		template.render([...before, user(message)]).slice(opening.length);
	return { opening, firstTurn, userTurn, answerEnd };
}
