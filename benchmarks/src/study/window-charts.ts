/** The two figures of `windows.ts`: perplexity along the stream, and the moment when the first token leaves. */
import type { SeriesOption } from "echarts";
import { binPerplexity, binRatio } from "./bins.ts";
import { axis, colours, legend, logAxis, renderSvg, title, verticalMarks } from "./chart.ts";
import type { WindowCurve } from "./windows.ts";

interface Stroke {
	readonly color: string;
	readonly width: number;
	readonly type?: "solid" | "dashed" | "dotted";
}

const strokes: Record<string, Stroke> = {
	"0+256": { color: colours.vermilion, width: 2.5 },
	"0+1024": { color: colours.orange, width: 2.5 },
	"1+255": { color: colours.skyBlue, width: 2 },
	"2+254": { color: colours.green, width: 2, type: "dashed" },
	"4+252": { color: colours.blue, width: 2.5 },
	"8+248": { color: colours.purple, width: 2, type: "dotted" },
	"4+1020": { color: colours.grey, width: 2 },
	dense: { color: colours.black, width: 1.5, type: "dashed" },
};

const leaves = [
	{ at: 256, label: "first token leaves 0+256" },
	{ at: 1024, label: "first token leaves 0+1024" },
];

export function drawPerplexity(curves: readonly WindowCurve[]): string {
	const end = (curves[0]?.values.length ?? 0) + 1;
	const bin = Math.max(32, Math.round(end / 24));
	return renderSvg({
		title: title(
			"A plain window collapses when the first token leaves; one sink prevents it",
			`Perplexity in bins of ${bin} tokens (log scale). sinks + rolling entries; SmolLM2-135M-Instruct Q4_1, float32 arithmetic.`,
		),
		legend: legend(66, names(curves)),
		grid: { left: 70, right: 30, top: 108, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { max: end }),
		yAxis: logAxis("perplexity"),
		series: curves.map((curve) => line(curve.label, binPerplexity(curve.values, bin))),
	});
}

export function drawCollapse(curves: readonly WindowCurve[]): string {
	const dense = curves.find(({ label }) => label === "dense");
	if (dense === undefined) throw new Error("internal: the dense curve is missing.");
	const bin = 32;
	const end = Math.min(1536, dense.values.length);
	const shown = curves.filter(({ label }) => ["0+256", "0+1024", "1+255", "4+252"].includes(label));
	const [first, ...rest] = shown.map((curve) =>
		line(curve.label, binRatio(curve.values, dense.values, bin, end)),
	);
	return renderSvg({
		title: title(
			"The moment the first token leaves",
			`Perplexity ÷ that of the dense cache on the same tokens, in bins of ${bin} tokens; 1 is no loss.`,
		),
		legend: legend(66, names(shown)),
		grid: { left: 70, right: 30, top: 108, bottom: 52 },
		xAxis: axis("position in the text (tokens)", "x", { max: end, interval: 128 }),
		yAxis: axis("perplexity ÷ dense", "y", { min: 0 }),
		series: [
			{ ...first, markLine: verticalMarks(leaves.filter(({ at }) => at < end)) } as SeriesOption,
			...rest,
		],
	});
}

function names(curves: readonly WindowCurve[]): string[] {
	return curves.map(({ label }) => label);
}

function line(name: string, data: [number, number][]): SeriesOption {
	const { color, width, type = "solid" } = strokes[name] ?? { color: colours.black, width: 1 };
	return {
		name,
		type: "line",
		data,
		symbol: "none",
		itemStyle: { color },
		lineStyle: { color, width, type },
	};
}
