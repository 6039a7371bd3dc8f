/**
 * Every policy on all of its goldens' tokens (goldens/smollm2), both precisions, as a table; exits with 1 when one is
 * beyond its tolerance. Takes about a quarter of an hour on two cores:
 *
 *     pnpm --filter @tok/lm exactness [exact|fast|both] [chunk] [tokens] [part of the policies' names]
 */
import { formatPolicy } from "@tok/kv-cache";
import { loadModel, type Precision } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { distance, goldenLikelihoods, goldenTokens, likelihoodGoldens } from "../src/testing/real-goldens.ts";

const [precision, chunk = "512", most = "6143", part = ""] = process.argv.slice(2);
const tolerances = {
	exact: { worst: 2e-3, mean: 1e-4, perplexity: 1e-4 },
	fast: { worst: Number.POSITIVE_INFINITY, mean: 0.05, perplexity: 0.01 },
};
const precisions: readonly Precision[] =
	precision === "exact" || precision === "fast" ? [precision] : ["exact", "fast"];
const tokens = goldenTokens();
let failed = false;

console.log("precision  policy              positions   tokens  worst nats  mean nats  perplexity  tokens/s");
for (const precision of precisions) {
	// One policy at a time: a graph holds all weights.
	for (const golden of likelihoodGoldens) {
		const { policy, positions, from } = golden;
		if (!formatPolicy(policy).includes(part)) continue;
		await using runtime = cpu();
		await using model = await loadModel("smollm2-135m", { runtime, precision });
		await model.prepare(policy);
		const want = goldenLikelihoods(golden);
		const count = Math.min(want.length, Number(most));
		const started = performance.now();
		const ids = tokens.subarray(0, from + count);
		const got = await model.negativeLogLikelihoods(ids, { policy, positions, from, chunk: Number(chunk) });
		const { worst, mean, perplexityRatio } = distance(got, want);
		const tolerance = tolerances[precision];
		const isWithin =
			worst <= tolerance.worst &&
			mean <= tolerance.mean &&
			Math.abs(perplexityRatio - 1) <= tolerance.perplexity;
		failed ||= !isWithin;
		const speed = count / ((performance.now() - started) / 1000);
		console.log(
			precision.padEnd(10),
			formatPolicy(policy).padEnd(19),
			positions.padEnd(11),
			String(count).padStart(6),
			worst.toExponential(1).padStart(11),
			mean.toExponential(1).padStart(10),
			`${((perplexityRatio - 1) * 100).toFixed(3)} %`.padStart(11),
			speed.toFixed(0).padStart(9),
			isWithin ? "" : " beyond its tolerance",
		);
	}
}
process.exitCode = failed ? 1 : 0;
