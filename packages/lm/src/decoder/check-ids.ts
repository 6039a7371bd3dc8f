import { TokError } from "@tok/runtime";

/** Throws unless every id is a token of the vocabulary. */
export function checkIds(ids: ArrayLike<number>, vocabularySize: number): void {
	for (let i = 0; i < ids.length; i++) {
		const id = ids[i] as number;
		if (!Number.isInteger(id) || id < 0 || id >= vocabularySize)
			throw new TokError(
				"lm",
				`ids: expected integers from 0 to ${vocabularySize - 1}, got ${id} at index ${i}. They belong to another model.`,
			);
	}
}
