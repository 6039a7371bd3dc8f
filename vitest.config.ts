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
const names = readdirSync(new URL("./packages", import.meta.url));
const browser = await chromium();

export default defineConfig({
	test: {
		reporters: ["default", "./scripts/summary-reporter.ts"],
		projects: names.flatMap((name) => [inNode(name), ...(hasBrowserTests(name) ? [inBrowser(name)] : [])]),
	},
});

function hasBrowserTests(name: string): boolean {
	return globSync(`packages/${name}/src/**/*.browser.test.ts`, { cwd: import.meta.dirname }).length > 0;
}

function inNode(name: string): TestProjectInlineConfiguration {
	return {
		root: `./packages/${name}`,
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

function inBrowser(name: string): TestProjectInlineConfiguration {
	return {
		root: `./packages/${name}`,
		resolve: { conditions: browserConditions },
		// It finds its wasm beside itself.
		optimizeDeps: { exclude: ["onnxruntime-web"] },
		test: {
			name: `${name}:browser`,
			include: ["src/**/*.browser.test.ts"],
			testTimeout: 60_000,
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
