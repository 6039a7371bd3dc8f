/** The two figures of `long-stream.ts`: perplexity over a long text, and the ratio of sinks to recomputation. */
import type { LineSeriesOption } from "echarts";
import { binPerplexity } from "./bins.ts";
import { axis, colours, legend, logAxis, renderSvg, title } from "./chart.ts";
import type { LongStream, Stretch } from "./long-stream.ts";
import { type Comparison, stretchDifference } from "./summary.ts";

export function drawLongStream({ sinks, window }: LongStream, bin: number): string {
	const lines = [
		line("0+256: plain window", binPerplexity(window, bin), colours.vermilion),
		line("4+252: four sinks", binPerplexity(sinks, bin), colours.blue),
	];
	return renderSvg({
		title: title(
			`${sinks.length.toLocaleString("en")} tokens with a cache of 256 entries`,
			`Perplexity in bins of ${bin.toLocaleString("en")} tokens (log scale). SmolLM2-135M-Instruct Q4_1, 8-bit activations.\nHow hard the text is varies from chapter to chapter, for both alike.`,
		),
		legend: legend(
			80,
			lines.map(({ name }) => name),
		),
		grid: { left: 70, right: 30, top: 118, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { max: sinks.length }),
		yAxis: logAxis("perplexity"),
		series: lines,
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

function line(name: string, data: [number, number][], color: string): LineSeriesOption & { name: string } {
	return { name, type: "line", data, symbol: "none", itemStyle: { color }, lineStyle: { color, width: 2.5 } };
}
