/** The sides of the comparison, by the names that tables have; a page's address has the engine and its setting. */

export const sides = {
	"tok exact": { engine: "tok", setting: "exact" },
	"tok fast": { engine: "tok", setting: "fast" },
	wllama: { engine: "wllama", setting: "growing" },
	"wllama, shifting": { engine: "wllama", setting: "shifting" },
	"wllama, Q8_0": { engine: "wllama", setting: "Q8_0" },
	"transformers.js fp32": { engine: "transformers", setting: "fp32" },
	"transformers.js q8": { engine: "transformers", setting: "q8" },
	"tok exact, GPU": { engine: "tok", setting: "exact", backend: "webgpu" },
	"tok fast, GPU": { engine: "tok", setting: "fast", backend: "webgpu" },
	"transformers.js fp32, GPU": { engine: "transformers", setting: "fp32", backend: "webgpu" },
	"a counting loop": { engine: "loop", setting: "" },
} as const satisfies Record<string, Side>;

/** As a page's address has it. */
interface Side {
	readonly engine: string;
	readonly setting: string;
	/** Defaults to "wasm". */
	readonly backend?: Backend;
}

export type Backend = "wasm" | "webgpu";

export type SideName = keyof typeof sides;

export const sideNames = Object.keys(sides) as SideName[];

export function isOnGpu(name: SideName): boolean {
	const side: Side = sides[name];
	return side.backend === "webgpu";
}

/** The loop is no side: it tells how even steps can be on this machine, at this hour. */
export const LOOP: SideName = "a counting loop";

/** Paths under which the server has what pages fetch. */
export const paths = {
	model: "/model.gguf",
	quantized: "/model.Q8_0.gguf",
	exported: "/exported/",
	tokOrt: "/tok-onnxruntime/",
	transformersOrt: "/transformers-onnxruntime/",
	wllama: "/wllama/wllama.wasm",
} as const;

/** Entries of tok's window, and of those the first tokens. */
export const WINDOW = 256;
export const SINKS = 4;
