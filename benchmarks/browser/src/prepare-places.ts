/** Everything that pages fetch: themselves, the model in each side's form, and the engines' WebAssembly. */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { quantizeModel } from "@tok/lm";
import { buildPages } from "./build-pages.ts";
import { exportModel } from "./export/export-model.ts";
import { type Dtype, dtypes } from "./export/products.ts";
import type { Places } from "./serve.ts";
import { paths, type SideName, sides } from "./sides.ts";

/** @param folder Takes what is made: pages, exports, other types of the model. */
export async function preparePlaces(
	folder: string,
	model: string,
	names: readonly SideName[],
	onStage: (what: string) => void,
): Promise<Places> {
	const settings = new Set<string>(names.map((name) => sides[name].setting));
	const pages = join(folder, "pages");
	onStage("pages");
	await buildPages(pages);
	const exported = join(folder, "exported");
	const wanted: Dtype[] = dtypes.filter((dtype) => settings.has(dtype));
	if (wanted.length > 0)
		await exportModel(model, exported, wanted, (dtype) => onStage(`export for transformers.js, ${dtype}`));
	const quantized = join(folder, "model.Q8_0.gguf");
	if (settings.has("Q8_0")) {
		onStage("the model in Q8_0");
		await quantizeModel(model, { type: "Q8_0", out: quantized });
	}
	return {
		"/": pages,
		[paths.model]: model,
		[paths.quantized]: quantized,
		[paths.exported]: exported,
		[paths.tokOrt]: onnxruntimeOf("@tok/runtime-webgpu"),
		[paths.transformersOrt]: onnxruntimeOf("@huggingface/transformers"),
		[paths.wllama]: join(folderOf("@wllama/wllama"), "esm", "wasm", "wllama.wasm"),
	};
}

/** The folder of the onnxruntime-web that a package depends on: not every one has the same. */
function onnxruntimeOf(name: string): string {
	const require = createRequire(join(folderOf(name), "package.json"));
	return dirname(require.resolve("onnxruntime-web/wasm"));
}

function folderOf(name: string): string {
	return realpathSync(join(import.meta.dirname, "..", "node_modules", name));
}
