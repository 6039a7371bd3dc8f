/** One look for every figure: echarts drawn to SVG without a browser, on white, in colours that the colour-blind can tell apart (Okabe and Ito 2008). */
import { type EChartsOption, init, type LegendComponentOption } from "echarts";

export const colours = {
	black: "#222222",
	grey: "#8a8a8a",
	orange: "#E69F00",
	skyBlue: "#56B4E9",
	green: "#009E73",
	blue: "#0072B2",
	vermilion: "#D55E00",
	purple: "#CC79A7",
} as const;

export interface Size {
	readonly width: number;
	readonly height: number;
}

export function renderSvg(
	option: EChartsOption,
	{ width, height }: Size = { width: 860, height: 440 },
): string {
	const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
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

export function title(text: string, subtext: string): object {
	return {
		text,
		subtext,
		left: 16,
		top: 10,
		textStyle: { fontSize: 16, color: colours.black },
		subtextStyle: { fontSize: 12, color: "#555555", lineHeight: 17 },
	};
}

/** A value axis with its name along it. */
export function axis(name: string, direction: "x" | "y", more: object = {}): object {
	return {
		type: "value",
		name,
		nameLocation: "middle",
		nameGap: direction === "x" ? 30 : 44,
		nameTextStyle: { color: colours.black, fontSize: 12 },
		axisLabel: {
			color: colours.black,
			fontSize: 11,
			formatter: (value: number) => value.toLocaleString("en"),
		},
		axisLine: { show: direction === "x", lineStyle: { color: colours.grey } },
		splitLine: { show: direction === "y", lineStyle: { color: "#e6e6e6" } },
		minorSplitLine: { show: false },
		...more,
	};
}

/** A logarithmic axis between whole powers of two. */
export function logAxis(name: string, more: object = {}): object {
	const power = (round: (x: number) => number) => (extent: { min: number; max: number }) =>
		2 ** round(Math.log2(round === Math.floor ? extent.min : extent.max));
	return axis(name, "y", { type: "log", logBase: 2, min: power(Math.floor), max: power(Math.ceil), ...more });
}

/** Names of lines, beside a piece of each. */
export function legend(top: number, names: readonly string[]): LegendComponentOption {
	return {
		top,
		left: 60,
		itemWidth: 28,
		itemGap: 26,
		itemStyle: { opacity: 0 },
		textStyle: { color: colours.black },
		data: [...names],
	};
}

/** A dashed vertical line with a label at its top, as `markLine` of a series. */
export function verticalMarks(marks: readonly { readonly at: number; readonly label: string }[]): object {
	return {
		symbol: "none",
		silent: true,
		lineStyle: { type: "dashed", color: colours.grey, width: 1 },
		label: { position: "end", color: "#555555", fontSize: 11 },
		data: marks.map(({ at, label }) => ({ xAxis: at, label: { formatter: label } })),
	};
}
