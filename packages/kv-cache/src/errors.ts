/**
 * This package's errors: `[tok/kv-cache] what was expected, what came, what to do`.
 *
 * They carry the marker of `TokError` in `@tok/runtime`, so `TokError.isInstance` recognises them, without a
 * dependency on that package.
 */

const marker = Symbol.for("tok.error");

class KvCacheError extends Error {
	readonly [marker] = true;
	readonly source = "kv-cache";

	constructor(message: string) {
		super(`[tok/kv-cache] ${message}`);
		this.name = "TokError";
	}
}

export function fail(message: string): never {
	throw new KvCacheError(message);
}

/** Returns `value` when it is an integer in [least, most]. */
export function integer(name: string, value: unknown, least: number, most: number, remedy: string): number {
	if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
		fail(`${name}: expected an integer from ${least} to ${most}, got ${String(value)}. ${remedy}`);
	}
	return value as number;
}
