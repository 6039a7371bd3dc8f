/** How well a stream is predicted once the window has moved on, by how many of its first tokens stay. */
import type { LaneEvent } from "../protocol.ts";

/** Caches of so many entries, whatever the sinks. */
export const windowSize = 256;
export const sinkCounts = [0, 1, 2, 4, 8] as const;

export function sinkPolicy(sinks: number): string {
	return sinks === 0 ? `rolling:${windowSize}` : `sink:${sinks},rolling:${windowSize - sinks}`;
}

/** The mean over all tokens from `first` on: unlike a plot it does not forget. */
export class LatePerplexity {
	readonly #first: number;
	#nats = 0;
	#count = 0;

	constructor(first: number) {
		this.#first = first;
	}

	/** Undefined before the first token that counts. */
	get value(): number | undefined {
		return this.#count === 0 ? undefined : Math.exp(this.#nats / this.#count);
	}

	take({ nats, length }: Pick<Extract<LaneEvent, { kind: "step" }>, "nats" | "length">): void {
		const start = length - nats.length;
		for (const [index, value] of nats.entries()) {
			if (value === undefined || start + index < this.#first) continue;
			this.#nats += value;
			this.#count++;
		}
	}
}
