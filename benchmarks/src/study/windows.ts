/**
 * What happens when the first token leaves the window, and how many sinks it takes to prevent it: the figures of the
 * goldens, by tok in float32 (arXiv 2309.17453, tables 1 and 2, for this model).
 */
import { goldenLikelihoods, goldenTokens } from "../support/inputs.ts";
import type { Machine } from "../support/machine.ts";
import { note } from "../support/progress.ts";
import type { Results } from "./results.ts";
import type { Scorer } from "./scorer.ts";

export interface WindowPolicy {
	/** Sinks + rolling entries, as the paper writes it. */
	readonly label: string;
	readonly policy: string;
	readonly golden: string;
}

export const windowPolicies: readonly WindowPolicy[] = [
	{ label: "dense", policy: "dense", golden: "dense" },
	{ label: "0+256", policy: "rolling:256", golden: "policy_0_256" },
	{ label: "1+255", policy: "sink:1,rolling:255", golden: "policy_1_255" },
	{ label: "2+254", policy: "sink:2,rolling:254", golden: "policy_2_254" },
	{ label: "4+252", policy: "sink:4,rolling:252", golden: "policy_4_252" },
	{ label: "8+248", policy: "sink:8,rolling:248", golden: "policy_8_248" },
	{ label: "0+1024", policy: "rolling:1024", golden: "policy_0_1024" },
	{ label: "4+1020", policy: "sink:4,rolling:1020", golden: "policy_4_1020" },
];

export interface WindowCurve extends WindowPolicy {
	/** −ln p of tokens 1, 2, … (nats). */
	readonly values: Float32Array;
	/** Of the same tokens, by the reference implementation. */
	readonly reference: Float32Array;
	readonly machine: Machine;
}

/** @param tokens Tokens of the stream; at most the goldens' 6,144. */
export async function measureWindows(
	scorer: Scorer,
	results: Results,
	tokens: number,
): Promise<WindowCurve[]> {
	const ids = goldenTokens().subarray(0, tokens);
	const curves: WindowCurve[] = [];
	for (const each of windowPolicies) {
		const name = `window ${each.label} exact ${tokens}`;
		if (!results.has(name)) note(`window: ${each.label}`);
		const scoring = { ids, policy: each.policy, precision: "exact", label: each.label } as const;
		const { values, machine } = await results.get(name, () => scorer.score(scoring));
		curves.push({
			...each,
			values,
			reference: goldenLikelihoods(each.golden).subarray(0, tokens - 1),
			machine,
		});
	}
	return curves;
}
