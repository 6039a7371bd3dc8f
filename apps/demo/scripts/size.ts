/**
 * Builds the page, and fails when a visitor would have to fetch more than 200 kB of it, gzipped: page and worker, without
 * onnxruntime's own files, the model and the book.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const LIMIT = 200_000;
const root = join(import.meta.dirname, "..");

await build({ root, configFile: join(root, "vite.config.ts"), configLoader: "native", logLevel: "warn" });

let total = 0;
for (const name of readdirSync(join(root, "dist", "assets")).filter((name) => /\.(js|css)$/.test(name))) {
	const content = readFileSync(join(root, "dist", "assets", name));
	// Its loader, in a chunk of its own.
	const isRuntime = /^ort[.-]/.test(name) || content.includes("ort-wasm-simd-threaded");
	const bytes = gzipSync(content, { level: 9 }).length;
	console.log(`${(bytes / 1000).toFixed(1).padStart(7)} kB  ${name}${isRuntime ? "  (onnxruntime)" : ""}`);
	if (!isRuntime) total += bytes;
}
console.log(`${(total / 1000).toFixed(1).padStart(7)} kB  of at most ${LIMIT / 1000}, gzipped`);
if (total > LIMIT) process.exitCode = 1;
