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
	{ ...shared, ...named("index"), platform: "node", dts: true, clean: ["!browser.*"] },
	{ ...shared, ...named("browser"), platform: "browser", clean: ["!index.*"] },
]);

/** What is loaded later is beside the entry, under a name that begins like it. */
function named(entry: string): Options {
	return {
		entry: { [entry]: "src/index.ts" },
		esbuildOptions: (options) => {
			options.chunkNames = `${entry}.[name]-[hash]`;
		},
	};
}
