/** Filler for tests: letters and spaces in no order that repeats, without a digit. */
import { Random } from "../random.ts";

export function fillerText(length: number, seed = 7): string {
	const random = new Random(seed);
	const letters = "abcdefghijklmnopqrstuvwxyz    ";
	return Array.from({ length }, () => letters[random.below(letters.length)]).join("");
}
