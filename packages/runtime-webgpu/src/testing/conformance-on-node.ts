/** Runs the conformance suite in Node, on the GPU that Vulkan gives. One line of JSON for each case. */
import { conformance } from "@tok/runtime/conformance";
import { create, globals } from "webgpu";
import { webgpu } from "../webgpu.ts";

Object.assign(globalThis, globals);
Object.defineProperty(globalThis, "navigator", { value: { gpu: create([]) } });

for (const { id, run } of conformance) {
	let error: string | undefined;
	try {
		await run(() => webgpu());
	} catch (cause) {
		error = String(cause);
	}
	process.stdout.write(`${JSON.stringify({ id, error })}\n`);
}
// Dawn's threads would keep it.
process.exit(0);
