/** What the page keeps of a lane: the end of its text, its figures and its curves. Bounded, however long it runs. */
import { MovingMean, Series } from "../lib/series.ts";
import type { SlotSegment } from "../lib/slot-map.ts";
import type { LaneEvent } from "../protocol.ts";

export interface ShownToken {
	readonly id: number;
	readonly text: string;
	/** −ln p; undefined for a stream's first. */
	readonly nats: number | undefined;
}

/** Tokens that are shown. */
const SHOWN = 320;
/** Tokens over which perplexity is taken. */
const MEAN = 128;

export class LaneState {
	readonly policy: string;
	tokens: readonly ShownToken[] = $state.raw([]);
	slots: readonly SlotSegment[] = $state.raw([]);
	length = $state(0);
	milliseconds: number | undefined = $state();
	bytes: number | undefined = $state();
	perplexity: number | undefined = $state();
	status: "idle" | "preparing" | "running" | "full" | "failed" = $state("idle");
	message: string | undefined = $state();
	readonly curves = { perplexity: new Series(16), milliseconds: new Series(16), bytes: new Series(16) };
	readonly #nats = new MovingMean(MEAN);
	readonly #times = new MovingMean(8);
	#ids = 0;

	constructor(policy: string, opening = "") {
		this.policy = policy;
		if (opening !== "") this.#show([opening], [undefined]);
	}

	take(event: LaneEvent): void {
		if (event.kind === "preparing") this.status = "preparing";
		else if (event.kind === "full") this.status = "full";
		else if (event.kind === "failed") {
			this.status = "failed";
			this.message = event.message;
		} else this.#step(event);
	}

	#step({ texts, nats, length, milliseconds, bytes, slots }: Extract<LaneEvent, { kind: "step" }>): void {
		this.status = "running";
		this.length = length;
		this.bytes = bytes;
		this.slots = slots;
		this.#times.push(milliseconds);
		this.milliseconds = this.#times.value;
		for (const value of nats) if (value !== undefined && Number.isFinite(value)) this.#nats.push(value);
		if (this.#nats.value !== undefined) this.perplexity = Math.exp(this.#nats.value);
		// Of few tokens it says little.
		if (this.#nats.count >= MEAN / 2) this.curves.perplexity.push(length, this.perplexity ?? Number.NaN);
		this.curves.milliseconds.push(length, milliseconds);
		this.curves.bytes.push(length, bytes);
		this.#show(texts, nats);
	}

	#show(texts: readonly string[], nats: readonly (number | undefined)[]): void {
		const fresh = texts.map((text, index) => ({ id: this.#ids++, text, nats: nats[index] }));
		this.tokens = [...this.tokens, ...fresh].slice(-SHOWN);
	}
}
