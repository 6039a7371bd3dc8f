/** The README's example makes a runtime that runs graphs. */
import { readFileSync } from "node:fs";
import type { Runtime } from "@tok/runtime";
import { echo } from "@tok/runtime/conformance";
import * as ort from "onnxruntime-node";
import { expect, test } from "vitest";
import * as shared from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

test("the example is a runtime, and its errors bear its name", async () => {
	const source = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
	const modules = { "@tok/onnxruntime": shared, "onnxruntime-node": ort };
	const body = source
		.replace(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];")
		.replace(/^import \* as (\w+) from (".*");$/gm, "const $1 = modules[$2];");
	const runtime: Runtime = await new AsyncFunction("modules", `${body}; return runtime;`)(modules);
	const session = await runtime.loadGraph(echo("float32"));
	const x = { dtype: "float32", dims: [2], data: Float32Array.of(1, 2) } as const;
	expect((await session.run({ x })).y?.data).toEqual(Float32Array.of(1, 2));
	await expect(session.run({})).rejects.toThrow("[tok/runtime-mine] run: input x: expected");
	await runtime.dispose();
});
