/** The suite that every runtime passes, in a real browser: rules of packages/runtime/SPEC.md. */
import { conformance } from "@tok/runtime/conformance";
import { describe, test } from "vitest";
import { webgpu } from "./index.ts";
import { wasm } from "./wasm.ts";

describe("webgpu", () => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => webgpu()));
});

describe("wasm", () => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => wasm()));
});
