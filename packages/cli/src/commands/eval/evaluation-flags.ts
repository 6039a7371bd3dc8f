/** Flags that evaluations share. */
import type { ArgsDef } from "citty";
import { policyHint } from "../../shared-flags.ts";

export const policyFlag: ArgsDef = {
	policy: {
		type: "string",
		valueHint: "policy",
		description: `${policyHint}. Default: sink:4,rolling:1020`,
	},
};

export const seedFlag: ArgsDef = {
	seed: {
		type: "string",
		valueHint: "number",
		description: "Chooses everything that is drawn; the same seed gives the same streams. Default: 1",
	},
};
