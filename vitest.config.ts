// One project per package, so that `vitest run --project rope` and turbo's per-package `test` task work.
// The `@tok/source` condition makes every sibling package resolve to its sources: nothing has to be built first.
import { readdirSync } from "node:fs";
import { defineConfig } from "vitest/config";

const conditions = ["@tok/source"];
const names = readdirSync(new URL("./packages", import.meta.url));

export default defineConfig({
	test: {
		reporters: ["default", "./scripts/summary-reporter.ts"],
		projects: names.map((name) => ({
			root: `./packages/${name}`,
			resolve: { conditions },
			ssr: { resolve: { conditions, externalConditions: conditions } },
			test: {
				name,
				environment: "node" as const,
				include: ["src/**/*.test.ts"],
				testTimeout: 60_000,
			},
		})),
	},
});
