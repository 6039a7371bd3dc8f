/** Builds the page, and fails when a visitor would have to fetch too much of it, at first or in all. */
import { join } from "node:path";
import { build } from "vite";
import { MOST_EVER, MOST_FIRST, type PageFile, sum, weighPage } from "./weigh.ts";

const root = join(import.meta.dirname, "..");
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1).padStart(7)} kB`;

function print(title: string, files: readonly PageFile[]): void {
	console.log(title);
	for (const { name, bytes } of files) console.log(`${kilobytes(bytes)}  ${name}`);
}

await build({ root, configFile: join(root, "vite.config.ts"), configLoader: "native", logLevel: "warn" });

const { first, later, onnxruntime } = weighPage(join(root, "dist"));
print("before the first token", first);
print("when it is asked for", later);
print("onnxruntime's, not counted", onnxruntime);
for (const [what, bytes, most] of [
	["before the first token", sum(first), MOST_FIRST],
	["in all", sum(first) + sum(later), MOST_EVER],
] as const) {
	console.log(`${kilobytes(bytes)}  ${what}, of at most ${most / 1000}, gzipped`);
	if (bytes > most) process.exitCode = 1;
}
