/**
 * No engine: a loop of additions that takes about as long as a step, for how even steps are when nothing but the machine
 * disturbs them.
 */
import type { Engine } from "../engine.ts";
import { serve } from "./remote.ts";

/** Milliseconds that a turn should take. */
const TURN = 30;
/** Turns are as many as the steps, but no more. */
const MOST_TURNS = 400;

serve((): Engine => {
	let additions = 1 << 20;

	function turn(): number {
		const begun = performance.now();
		let sum = 0;
		for (let i = 0; i < additions; i++) sum = (sum + i) | 0;
		// Looked at, so that the loop is not left out.
		if (sum === 0.5) throw new Error("internal: a sum of integers is none");
		return performance.now() - begun;
	}

	return {
		async load() {
			for (let i = 0; i < 20; i++) additions = Math.max(1 << 20, Math.round((additions * TURN) / turn()));
			return `a loop of ${additions.toLocaleString("en")} additions`;
		},
		async read() {
			return turn();
		},
		async write(_, steps) {
			const times = Array.from({ length: Math.min(steps, MOST_TURNS) }, () => turn());
			return { times, ids: [] };
		},
	};
});
