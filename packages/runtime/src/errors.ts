/**
 * The one base error of tok's packages: `[tok/package] what was expected, what came, what to do`.
 * A marker instead of `instanceof`, so that two copies of the package in one program still recognise each other.
 */

const marker: unique symbol = Symbol.for("tok.error");

export class TokError extends Error {
	/** Package that raised the error, without its scope: "lm". */
	readonly source: string;

	constructor(source: string, message: string, options?: ErrorOptions) {
		super(`[tok/${source}] ${message}`, options);
		this.name = "TokError";
		this.source = source;
		Object.defineProperty(this, marker, { value: true });
		// Not a class field: declarations cannot spell a computed name (TypeScript's error 9038).
		Object.defineProperty(this, marker, { value: true });
	}

	static isInstance(value: unknown): value is TokError {
		return typeof value === "object" && value !== null && marker in value;
	}
}
