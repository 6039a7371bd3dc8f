/**
 * The residual stream of a decoder while its graph is built. What a block adds waits until the next norm, which adds
 * and normalises in one node (SkipSimplifiedLayerNormalization).
 */
import { add, gather, skipSimplifiedLayerNormalization, type Value } from "@tok/graph";
import { rmsNorm } from "@tok/graph/blocks";

export type Rows = Value<"float32">; // [batch · tokens, …]

export class ResidualStream {
	#rows: Rows; // [rows, hidden]
	/** What joins `#rows` at the next look. */
	#added: Rows | undefined;

	constructor(rows: Rows) {
		this.#rows = rows;
	}

	add(rows: Rows): void {
		this.#rows = this.value();
		this.#added = rows;
	}

	value(): Rows {
		if (this.#added !== undefined) this.#rows = add(this.#rows, this.#added);
		this.#added = undefined;
		return this.#rows;
	}

	/** RMSNorm of the stream; weight [hidden]. */
	normed(weight: Value<"float32">, epsilon: number): Rows {
		if (this.#added === undefined) return rmsNorm(this.#rows, weight, epsilon);
		const { output, sum } = skipSimplifiedLayerNormalization(this.#rows, this.#added, weight, { epsilon });
		this.#rows = sum;
		this.#added = undefined;
		return output;
	}

	/** Goes on with some of the rows; `rows` int64 [n]. */
	keep(rows: Value<"int64">): void {
		this.#rows = gather(this.#rows, rows, 0);
		this.#added = this.#added && gather(this.#added, rows, 0);
	}
}
