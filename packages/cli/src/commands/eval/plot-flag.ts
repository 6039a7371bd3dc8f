/** --plot: a chart of the results, as an SVG file. */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { ArgsDef } from "citty";
import { fail } from "../../errors.ts";
import type { Flags } from "../../flags.ts";
import { writeAside } from "../../write-aside.ts";

type Charts = typeof import("../../charts/charts.ts");

export const plotFlag: ArgsDef = {
	plot: { type: "string", valueHint: "file", description: "Draw the results as an SVG file" },
};

/** Writes what the charts draw to the file that --plot names; does nothing without the flag. */
export type Plot = (draw: (charts: Charts) => string) => Promise<void>;

/**
 * Checks the name and the folder at once, and not after an hour of measuring. The library that draws is loaded when there
 * is something to draw.
 */
export async function readPlotFlag(flags: Flags): Promise<Plot> {
	const path = flags.text("plot");
	if (path === undefined) return async () => undefined;
	if (!/\.svg$/i.test(path)) fail(`--plot: expected a file name that ends in .svg, got "${path}".`);
	const folder = dirname(path);
	const found = await stat(folder).catch(() => undefined);
	if (!found?.isDirectory())
		fail(`--plot: cannot write to ${folder}: there is no such folder. Make it first.`);
	return async (draw) => {
		await writeAside("--plot", path, draw(await import("../../charts/charts.ts")));
	};
}
