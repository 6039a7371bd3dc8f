/**
 * The page's dev server, its build and its preview. Sibling packages are read as sources, in their halves for browsers;
 * the model that `tok` would find comes from the same origin.
 */
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defaultClientConditions, defineConfig } from "vite";
import { isolate } from "./scripts/isolate.ts";
import { listFiles } from "./scripts/list-files.ts";
import { serveModels } from "./scripts/serve-models.ts";

export default defineConfig({
	base: "./",
	plugins: [svelte(), isolate(), serveModels(), listFiles()],
	resolve: { conditions: ["@tok/source", ...defaultClientConditions] },
	// onnxruntime finds its wasm beside itself; the others are named, so that the first visit is not the second one too.
	optimizeDeps: {
		exclude: ["onnxruntime-web"],
		include: [
			"@tok/lm > @huggingface/jinja",
			"@tok/lm > @huggingface/tokenizers",
			"@tok/lm > @tok/graph > @bufbuild/protobuf",
			"@tok/lm > @tok/graph > @bufbuild/protobuf/wire",
			"@tok/lm > @tok/graph > onnx-buf",
		],
	},
	worker: {
		format: "es",
		rolldownOptions: {
			output: {
				// Apart from what is ours, so that it is seen how much that is.
				codeSplitting: {
					groups: [
						{ name: "calls", test: /worker\/calls\.ts$/ },
						{
							debugName: "onnxruntime",
							test: /\/onnxruntime-web\//,
							name: (id) => /ort\.\w+/.exec(id)?.[0].replace(".", "-"),
						},
					],
				},
			},
		},
	},
	build: {
		target: "es2023",
		assetsInlineLimit: 0,
		// One style sheet: a view never appears before its styles.
		cssCodeSplit: false,
		modulePreload: { polyfill: false },
		rolldownOptions: {
			input: { index: "index.html", "service-worker": "src/service-worker.ts" },
			output: {
				codeSplitting: { groups: [{ name: "page", test: /src\/main\.ts$/ }] },
				// A service worker keeps its name, and rules the folder that it lies in.
				entryFileNames: ({ name }) =>
					name === "service-worker" ? "service-worker.js" : "assets/[name]-[hash].js",
			},
		},
	},
});
