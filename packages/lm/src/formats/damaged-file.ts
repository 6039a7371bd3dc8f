/** The error of a file that contradicts itself or ends too early, and how names from such a file are printed. */
import { TokError } from "@tok/runtime";

/** `problem` says what was expected and what came. */
export function damagedFile(path: string, problem: string): TokError {
	return new TokError("lm", `${path}: ${problem}; the file is damaged or incomplete: download it again`);
}

/** A name in quotes, escaped and cut to a length that fits a sentence: a damaged file may hold megabytes of it. */
export function quote(name: string): string {
	return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
}
