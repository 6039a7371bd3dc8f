/** Runs a generation to its end and keeps what it yields, which only a test can afford. */
import type { GeneratedToken, GenerationResult } from "../model.ts";

export interface Collected extends GenerationResult {
	readonly yielded: readonly GeneratedToken[];
	readonly ids: readonly number[];
	readonly text: string;
}

export async function collect(
	generation: AsyncGenerator<GeneratedToken, GenerationResult>,
): Promise<Collected> {
	const yielded: GeneratedToken[] = [];
	for (;;) {
		const step = await generation.next();
		if (step.done) {
			const text = yielded.map((token) => token.text).join("");
			return { ...step.value, yielded, ids: yielded.map(({ id }) => id), text };
		}
		yielded.push(step.value);
	}
}
