/**
 * What is planted and what is asked. The wording is plain continuation, without a chat template, so that base models
 * can be measured too. It was chosen so that SmolLM2-135M-Instruct, which is small, answers nearly always as long as it
 * sees the sentence.
 */

/** Names for several facts. Each is one token in common vocabularies. */
export const names: readonly string[] = [
	"Paris",
	"London",
	"Rome",
	"Berlin",
	"Madrid",
	"Vienna",
	"Tokyo",
	"Cairo",
];

export interface Wording {
	/** In front of the code, in the planted sentence. */
	readonly planted: string;
	/** In front of the code, in question and answer. */
	readonly question: string;
}

/** After the code, in the planted sentence. */
export const plantedEnd = ".\n\n";

/** @param name Undefined where there is one fact alone. */
export function needleWording(name: string | undefined, paraphrase: boolean): Wording {
	const ofName = name === undefined ? "" : ` of ${name}`;
	return {
		planted: `\n\nThe secret code${ofName} is `,
		question: paraphrase
			? `\n\nQuestion: Which number opens the lock${ofName}?\nAnswer: The number${ofName} is `
			: `\n\nQuestion: What is the secret code${ofName}?\nAnswer: The secret code${ofName} is `,
	};
}
