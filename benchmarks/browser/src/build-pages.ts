/** The pages of all sides, bundled as an application's would be. */
import { join } from "node:path";
import { build } from "vite";

export async function buildPages(folder: string): Promise<void> {
	await build({
		root: join(import.meta.dirname, "pages"),
		configFile: false,
		logLevel: "error",
		base: "./",
		worker: { format: "es" },
		build: { target: "es2023", outDir: folder, emptyOutDir: true, assetsInlineLimit: 0 },
	});
}
