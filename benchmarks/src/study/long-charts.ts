/** The two figures of `long-stream.ts`: whether a long stream wears out, and what sinks lose to recomputation. */
import type { LineSeriesOption } from "echarts";
import { perplexity } from "./bins.ts";
import { axis, colours, legend, logAxis, renderSvg, title } from "./chart.ts";
import type { Stretch } from "./long-stream.ts";
import type { StretchSummary } from "./summary.ts";

export function drawLongStream(stretches: readonly Stretch[], tokens: number): string {
	const length = stretches[0]?.stream.length ?? 0;
	const names = ["one stream from the first token", "restarted 512 tokens before"];
	const points = (side: "stream" | "yardstick"): [number, number][] =>
		stretches.map((stretch) => [stretch.from + length / 2, perplexity(stretch[side])]);
	return renderSvg({
		title: title(
			`${tokens.toLocaleString("en")} tokens with a cache of 256 entries: a stream does not wear out`,
			`Perplexity of 4+252 on ${length.toLocaleString("en")} of every ${Math.round(tokens / stretches.length).toLocaleString("en")} tokens. The text is easy and hard by turns; only a gap between the lines would be wear.\nSmolLM2-135M-Instruct Q4_1, 8-bit activations.`,
		),
		legend: legend(80, names),
		grid: { left: 70, right: 30, top: 118, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { max: tokens }),
		yAxis: axis("perplexity", "y", { min: 0 }),
		series: [
			line(names[0] as string, points("stream"), { color: colours.blue, width: 3 }),
			line(names[1] as string, points("yardstick"), { color: colours.orange, width: 1.5, type: "dashed" }),
		],
	});
}

export function drawRecompute(summary: StretchSummary, length: number): string {
	const { ratio, interval, positions, stretches } = summary;
	const three = (value: number): string => value.toFixed(3);
	return renderSvg({
		title: title(
			"Sinks against reading the last 256 tokens afresh for every prediction",
			`Perplexity of 4+252 ÷ that of recompute(256), one point per stretch of ${length} tokens.\nOver all ${positions.toLocaleString("en")} positions ${three(ratio)}, 95 % interval ${three(interval.low)} to ${three(interval.high)} (shaded).`,
		),
		grid: { left: 70, right: 30, top: 90, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { min: 0 }),
		yAxis: logAxis("perplexity ÷ recompute"),
		series: [
			{
				type: "scatter",
				symbolSize: 7,
				data: stretches.map(({ from, ratio: value }) => [from, value]),
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

function line(
	name: string,
	data: [number, number][],
	stroke: { color: string; width: number; type?: "dashed" },
): LineSeriesOption {
	return { name, type: "line", data, symbol: "none", itemStyle: { color: stroke.color }, lineStyle: stroke };
}
