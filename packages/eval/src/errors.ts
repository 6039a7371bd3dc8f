/** This package's errors: `[tok/eval] what was expected, what came, what to do`. */
import { TokError } from "@tok/lm";

export function fail(message: string): never {
	throw new TokError("eval", message);
}

/** Returns `value` when it is an integer in [least, most]. */
export function integer(name: string, value: unknown, least: number, most: number, remedy = ""): number {
	if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
		const limits = most === Number.MAX_SAFE_INTEGER ? `≥ ${least}` : `from ${least} to ${most}`;
		fail(`${name}: expected an integer ${limits}, got ${String(value)}. ${remedy}`.trimEnd());
	}
	return value as number;
}

/** Returns the values when each is an integer in [least, most], there is one at least, and none is there twice. */
export function integers(name: string, values: readonly number[], least: number, most: number): number[] {
	if (values.length === 0) fail(`${name}: expected at least one integer, got none.`);
	for (const value of values) integer(name, value, least, most);
	const twice = values.find((value, index) => values.indexOf(value) !== index);
	if (twice !== undefined)
		fail(`${name}: expected each value once, got ${twice} twice. Leave one of them out.`);
	return [...values];
}
