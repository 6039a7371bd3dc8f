import { defineConfig, type Options } from "tsup";

const shared: Options = {
	format: ["esm"],
	sourcemap: true,
	target: "es2023",
	treeshake: true,
	tsconfig: "tsconfig.build.json",
};

// One entry for two platforms: `#platform` is another file in each, and the types are the same. Each cleans up after
// itself alone, as they are built at the same time.
export default defineConfig([
	{ ...shared, entry: ["src/index.ts"], platform: "node", dts: true, clean: ["!browser.*"] },
	{ ...shared, entry: { browser: "src/index.ts" }, platform: "browser", clean: ["!index.*"] },
]);
