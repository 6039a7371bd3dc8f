/** The page of one side, named in its address. What computes on the thread that calls it does so in a worker. */
import type { Engine } from "../engine.ts";
import { connect } from "./remote.ts";
import { openWllama } from "./wllama-engine.ts";

declare global {
	/** What the measuring process calls. */
	var engine: Engine;
}

const query = new URLSearchParams(location.search);
const setting = query.get("setting") ?? "";
const backend = query.get("backend") === "webgpu" ? "webgpu" : "wasm";
switch (query.get("engine")) {
	case "wllama":
		globalThis.engine = openWllama(setting);
		break;
	case "loop":
		globalThis.engine = connect(
			new Worker(new URL("./loop-worker.ts", import.meta.url), { type: "module" }),
			setting,
		);
		break;
	case "transformers":
		globalThis.engine = connect(
			new Worker(new URL("./transformers-worker.ts", import.meta.url), { type: "module" }),
			setting,
			backend,
		);
		break;
	default:
		globalThis.engine = connect(
			new Worker(new URL("./tok-worker.ts", import.meta.url), { type: "module" }),
			setting,
			backend,
		);
}
