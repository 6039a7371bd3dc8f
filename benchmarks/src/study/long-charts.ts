/** The two figures of `long-stream.ts`: perplexity over a long text, and the ratio of sinks to recomputation. */
import { binPerplexity, perplexity } from "./bins.ts";
import { axis, colours, logAxis, renderSvg, title } from "./chart.ts";
import type { Stretch } from "./long-stream.ts";
import { type Comparison, stretchDifference } from "./summary.ts";

export function drawLongStream(values: Float32Array, bin: number): string {
	const overall = perplexity(values);
	return renderSvg({
		title: title(
			`${values.length.toLocaleString("en")} tokens with a cache of 256 entries`,
			`Perplexity of 4+252 in bins of ${bin.toLocaleString("en")} tokens; ${overall.toFixed(1)} over all (dashed). SmolLM2-135M-Instruct Q4_1, 8-bit activations.\nHow hard the text is varies from chapter to chapter; a collapse would double the perplexity (window-perplexity.svg).`,
		),
		grid: { left: 70, right: 30, top: 90, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { max: values.length }),
		yAxis: axis("perplexity", "y", { min: 0 }),
		series: [
			{
				type: "line",
				data: binPerplexity(values, bin),
				symbolSize: 6,
				itemStyle: { color: colours.blue },
				lineStyle: { color: colours.blue, width: 2.5 },
				markLine: {
					symbol: "none",
					silent: true,
					label: { show: false },
					data: [{ yAxis: overall, lineStyle: { color: colours.grey, type: "dashed", width: 1 } }],
				},
			},
		],
	});
}

export function drawComparison(
	stretches: readonly Stretch[],
	{ ratio, interval, positions }: Comparison,
): string {
	const points = stretches.map((stretch) => [stretch.from, Math.exp(stretchDifference(stretch))]);
	const three = (value: number): string => value.toFixed(3);
	return renderSvg({
		title: title(
			"Sinks against reading the last 256 tokens afresh for every prediction",
			`Perplexity of 4+252 ÷ that of recompute(256), one point per stretch of ${stretches[0]?.sinks.length ?? 0} tokens.\nOver all ${positions.toLocaleString("en")} positions ${three(ratio)}, 95 % interval ${three(interval.low)} to ${three(interval.high)} (shaded).`,
		),
		grid: { left: 70, right: 30, top: 90, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { min: 0 }),
		yAxis: logAxis("perplexity ÷ recompute"),
		series: [
			{
				type: "scatter",
				symbolSize: 7,
				data: points,
				itemStyle: { color: colours.blue, opacity: 0.75 },
				markLine: {
					symbol: "none",
					silent: true,
					label: { show: false },
					data: [
						{ yAxis: 1, lineStyle: { color: colours.black, type: "dashed", width: 1 } },
						{ yAxis: ratio, lineStyle: { color: colours.vermilion, type: "solid", width: 1.5 } },
					],
				},
				markArea: {
					silent: true,
					itemStyle: { color: colours.vermilion, opacity: 0.18 },
					data: [[{ yAxis: interval.low }, { yAxis: interval.high }]],
				},
			},
		],
	});
}
