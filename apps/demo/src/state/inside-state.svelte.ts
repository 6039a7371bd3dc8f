/** What the page keeps of a stream that is looked into: the last frame, and the texts of the tokens that are in it. */
import type { TokenAttention } from "@tok/lm";
import { kindsOf, sharesOf } from "../lib/attention.ts";
import type { InsideFrame } from "../protocol.ts";

export interface Look {
	readonly frame: InsideFrame;
	readonly attention: TokenAttention;
	/** The kind of each entry. */
	readonly kinds: Uint8Array;
	/** [layers · heads, kinds] */
	readonly shares: Float32Array;
	/** What each entry says. */
	readonly texts: readonly string[];
	/** Tokens that have left the window lately, in whole lines of text: what stays does not move. */
	readonly left: readonly { readonly token: number; readonly text: string }[];
}

/** Tokens that leave the page together. */
const TOGETHER = 64;
/** Milliseconds between two looks, at the least: an eye sees no more, and a page has other things to do. */
const PAUSE = 80;

export class InsideState {
	look: Look | undefined = $state.raw();
	#texts = new Map<number, string>();
	#next: InsideFrame | undefined;
	#shown = Number.NEGATIVE_INFINITY;
	#timer: ReturnType<typeof setTimeout> | undefined;

	take(frame: InsideFrame): void {
		const { attention, texts } = frame;
		for (const [i, text] of texts.entries()) this.#texts.set(attention.token + 1 - texts.length + i, text);
		this.#next = frame;
		this.#timer ??= setTimeout(() => this.show(), Math.max(0, this.#shown + PAUSE - performance.now()));
	}

	/** What came last, at once. */
	show(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (this.#next === undefined) return;
		this.look = this.#lookAt(this.#next);
		this.#next = undefined;
		this.#shown = performance.now();
	}

	#lookAt(frame: InsideFrame): Look {
		const { attention, segments } = frame;
		const kinds = kindsOf(attention, segments);
		const kept = new Map<number, string>();
		const say = (start: number, end: number): string => {
			let text = "";
			for (let token = start; token < end; token++) {
				const own = this.#texts.get(token) ?? "";
				kept.set(token, own);
				text += own;
			}
			return text;
		};
		const texts = attention.entries.map(({ start, end }) => say(start, end));
		// The window is the run of tokens that ends with the one that looks.
		let window = attention.token;
		while (kept.has(window - 1)) window--;
		const left = [];
		for (let token = window - (window % TOGETHER); token < window; token++)
			if (this.#texts.has(token)) left.push({ token, text: say(token, token + 1) });
		this.#texts = kept;
		return { frame, attention, kinds, shares: sharesOf(attention, kinds), texts, left };
	}
}
