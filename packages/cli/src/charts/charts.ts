/**
 * The figures of `tok eval --plot`: drawn by echarts to SVG without a browser, on white, in colours that the
 * colour-blind can tell apart (Okabe and Ito 2008).
 */
import type { Interval, PerplexityResult, Score } from "@tok/eval";
import { BarChart, CustomChart, type CustomSeriesOption, LineChart } from "echarts/charts";
import { GridComponent, TitleComponent } from "echarts/components";
import { type EChartsCoreOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([BarChart, CustomChart, GridComponent, LineChart, SVGRenderer, TitleComponent]);

const ink = "#222222";
const muted = "#555555";
const blue = "#0072B2";
const rule = "#e6e6e6";

export interface RecallChart {
	readonly title: string;
	readonly subtitle: string;
	/** Name of the horizontal axis. */
	readonly distance: string;
	/** By distance, ascending; whatever is at 0 stands at 1 on the logarithmic axis. */
	readonly points: readonly (Score & { readonly distance: number })[];
}

/** Share of exact answers against distance, each with its interval. */
export function drawRecall({ title, subtitle, distance, points }: RecallChart): string {
	const places = points.map((point) => Math.max(1, point.distance));
	const min = 10 ** Math.floor(Math.log10(Math.min(...places)));
	const max = Math.max(10 * min, 10 ** Math.ceil(Math.log10(Math.max(...places))));
	return render({
		title: heading(title, subtitle),
		grid: { left: 64, right: 28, top: 84, bottom: 56 },
		xAxis: { ...axis(distance, 30), type: "log", min, max, splitLine: { show: false } },
		yAxis: {
			...axis("exact answers", 44),
			type: "value",
			min: 0,
			max: 1,
			axisLabel: { color: ink, formatter: (share: number) => `${Math.round(100 * share)} %` },
		},
		series: [
			whiskers(points.map(({ interval }, index) => [places[index] as number, interval])),
			{
				type: "line",
				data: points.map(({ exact, samples }, index) => [places[index] as number, exact / samples]),
				symbol: "circle",
				symbolSize: 8,
				itemStyle: { color: blue },
				lineStyle: { color: blue, width: 2 },
			},
		],
	});
}

export interface PerplexityChart {
	readonly title: string;
	readonly subtitle: string;
	readonly results: readonly PerplexityResult[];
}

/** A bar for each policy, with its interval. */
export function drawPerplexities({ title, subtitle, results }: PerplexityChart): string {
	return render({
		title: heading(title, subtitle),
		grid: { left: 64, right: 28, top: 84, bottom: 44 },
		xAxis: {
			type: "category",
			data: results.map(({ policy }) => policy),
			axisTick: { show: false },
			axisLabel: { color: ink, fontSize: 12, interval: 0, width: 780 / results.length, overflow: "break" },
			axisLine: { lineStyle: { color: "#8a8a8a" } },
		},
		yAxis: { ...axis("perplexity", 44), type: "value", min: 0 },
		series: [
			{
				type: "bar",
				data: results.map(({ perplexity }) => perplexity),
				barMaxWidth: 96,
				itemStyle: { color: blue, opacity: 0.75 },
				label: {
					show: true,
					position: "insideBottom",
					color: "#ffffff",
					fontWeight: "bold",
					formatter: ({ value }: { readonly value: number }) => value.toFixed(2),
				},
			},
			whiskers(
				results.flatMap(({ interval }, index): [number, Interval][] =>
					interval === null ? [] : [[index, interval]],
				),
			),
		],
	});
}

function render(option: EChartsCoreOption): string {
	const chart = init(null, null, { renderer: "svg", ssr: true, width: 860, height: 440 });
	try {
		chart.setOption({
			animation: false,
			backgroundColor: "#ffffff",
			textStyle: { fontFamily: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" },
			...option,
		});
		return `${chart.renderToSVGString()}\n`;
	} finally {
		chart.dispose();
	}
}

function heading(text: string, subtext: string): object {
	return {
		text,
		subtext,
		left: 16,
		top: 10,
		textStyle: { fontSize: 16, color: ink },
		subtextStyle: { fontSize: 12, color: muted },
	};
}

function axis(name: string, nameGap: number): object {
	return {
		name,
		nameLocation: "middle",
		nameGap,
		nameTextStyle: { color: ink, fontSize: 12 },
		axisLabel: { color: ink, formatter: (value: number) => value.toLocaleString("en") },
		axisLine: { lineStyle: { color: "#8a8a8a" } },
		splitLine: { lineStyle: { color: rule } },
	};
}

/** Intervals as vertical lines from one end to the other, with a bar at each. */
function whiskers(data: readonly (readonly [place: number, interval: Interval])[]): CustomSeriesOption {
	const cap = 5;
	return {
		type: "custom",
		data: data.map(([place, { low, high }]) => [place, low, high]),
		// The axis has to hold both ends.
		encode: { x: 0, y: [1, 2] },
		// Above the bars.
		z: 3,
		renderItem: (_, api) => {
			const [x = 0, top = 0] = api.coord([api.value(0), api.value(2)]);
			const [, bottom = 0] = api.coord([api.value(0), api.value(1)]);
			const line = (x1: number, y1: number, x2: number, y2: number) => ({
				type: "line" as const,
				shape: { x1, y1, x2, y2 },
				style: { stroke: ink, lineWidth: 1.5 },
			});
			return {
				type: "group",
				children: [
					line(x, top, x, bottom),
					line(x - cap, top, x + cap, top),
					line(x - cap, bottom, x + cap, bottom),
				],
			};
		},
	};
}
