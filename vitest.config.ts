// One project per package, so that `vitest run --project rope` and turbo's per-package `test` task work; a package
// with *.browser.test.ts has a second one, `NAME:browser`, that runs them in a real browser.
// The `@tok/source` condition makes every sibling package resolve to its sources: nothing has to be built first.
import { globSync, readdirSync } from "node:fs";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { chromium } from "./scripts/chromium.ts";

const conditions = ["@tok/source"];
/** Those of Vite, which a list of one's own replaces. */
const browserConditions = [...conditions, "module", "browser", "development|production"];
/** Folders of what is tested: packages by their names, apps by theirs. */
const folders = ["packages", "apps"].flatMap((group) =>
	readdirSync(new URL(`./${group}`, import.meta.url)).map((name) => ({ name, folder: `./${group}/${name}` })),
);
const browser = await chromium();
/** The real model, where tests in Node find it too. */
const models = process.env.TOK_MODELS;
const [model] = models === undefined ? [] : globSync(`${models}/**/SmolLM2-135M-Instruct.Q4_1.gguf`);

export default defineConfig({
	test: {
		reporters: ["default", "./scripts/summary-reporter.ts"],
		projects: folders.flatMap((each) => [inNode(each), ...(hasBrowserTests(each) ? [inBrowser(each)] : [])]),
	},
});

interface Folder {
	readonly name: string;
	readonly folder: string;
}

function hasBrowserTests({ folder }: Folder): boolean {
	return globSync(`${folder}/src/**/*.browser.test.ts`, { cwd: import.meta.dirname }).length > 0;
}

function inNode({ name, folder }: Folder): TestProjectInlineConfiguration {
	return {
		root: folder,
		resolve: { conditions },
		ssr: { resolve: { conditions, externalConditions: conditions } },
		test: {
			name,
			environment: "node",
			include: ["src/**/*.test.ts"],
			exclude: ["src/**/*.browser.test.ts"],
			testTimeout: 60_000,
		},
	};
}

function inBrowser({ name, folder }: Folder): TestProjectInlineConfiguration {
	return {
		root: folder,
		resolve: { conditions: browserConditions },
		// Isolated, so that WebAssembly may have threads.
		server: {
			headers: {
				"Cross-Origin-Opener-Policy": "same-origin",
				"Cross-Origin-Embedder-Policy": "require-corp",
			},
			fs: { allow: [import.meta.dirname, ...(model === undefined ? [] : [model])] },
		},
		// It finds its wasm beside itself.
		optimizeDeps: { exclude: ["onnxruntime-web"] },
		test: {
			name: `${name}:browser`,
			include: ["src/**/*.browser.test.ts"],
			testTimeout: 60_000,
			provide: { model: model === undefined ? undefined : `/@fs${model}` },
			browser: {
				enabled: true,
				headless: true,
				screenshotFailures: false,
				provider: playwright({ launchOptions: browser }),
				instances: [{ browser: "chromium" }],
			},
		},
	};
}

declare module "vitest" {
	interface ProvidedContext {
		/** URL of the real model; undefined where there is none. */
		readonly model: string | undefined;
	}
}
