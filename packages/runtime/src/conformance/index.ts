import { attentionCases } from "./attention-case.ts";
import { bankCases } from "./bank-cases.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { graphCases } from "./graph-cases.ts";
import { lifetimeCases } from "./lifetime-cases.ts";
import { slotCases } from "./slot-cases.ts";
import { storeCases } from "./store-cases.ts";

export type { ConformanceCase, CreateRuntime } from "./conformance-case.ts";
export { echo, freshRows, mirror, product, seen, sums, totals } from "./graphs.ts";

/** What every runtime passes. SPEC.md has the rules that the ids name. */
export const conformance: readonly ConformanceCase[] = [
	...graphCases,
	...storeCases,
	...slotCases,
	...attentionCases,
	...bankCases,
	...lifetimeCases,
];
