/**
 * The error of this package: `[tok/rope] what was expected, what came, what to do`.
 * It carries the marker that every error of tok's packages carries, so that callers recognise it without
 * `instanceof`, which fails between two copies of a package in one program.
 */

const marker = Symbol.for("tok.error");

export class RopeError extends Error {
	/** Package that raised the error, without its scope. */
	readonly source = "rope";

	constructor(message: string) {
		super(`[tok/rope] ${message}`);
		this.name = "RopeError";
		Object.assign(this, { [marker]: true });
	}

	static isInstance(value: unknown): value is RopeError {
		const error = value as Partial<RopeError> | null | undefined;
		return error?.source === "rope" && marker in error;
	}
}

/** The error for a value that is not what `name` asks for. */
export function unexpected(
	name: string,
	expected: string,
	value: unknown,
	remedy = "Set it as the model's configuration does.",
): RopeError {
	// JSON would print NaN as null.
	const shown = typeof value === "number" ? value : JSON.stringify(value);
	return new RopeError(`${name}: expected ${expected}, got ${shown}. ${remedy}`);
}
