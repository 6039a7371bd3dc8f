/**
 * The error of this package. It carries the marker that all of tok's errors share, so `TokError.isInstance` of
 * `@tok/runtime` recognises it although this package depends on no other.
 */

const marker: unique symbol = Symbol.for("tok.error");

export class GraphError extends Error {
	readonly source = "graph";

	constructor(message: string, options?: ErrorOptions) {
		super(`[tok/graph] ${message}`, options);
		this.name = "GraphError";
		Object.defineProperty(this, marker, { value: true });
	}

	static isInstance(value: unknown): value is GraphError {
		return (
			typeof value === "object" &&
			value !== null &&
			marker in value &&
			"source" in value &&
			value.source === "graph"
		);
	}
}
