/**
 * The suite that every runtime passes, in Node: on the GPU whose Vulkan driver VK_DRIVER_FILES names, else on SwiftShader,
 * which comes with the browser from npm (Linux x64).
 */
import { execFile } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { conformance } from "@tok/runtime/conformance";
import { beforeAll, describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("testing/conformance-on-node.ts", import.meta.url));
const isLinux = process.platform === "linux" && process.arch === "x64";
const driver = process.env.VK_DRIVER_FILES;

describe.skipIf(!isLinux && driver === undefined)(
	"webgpu in Node (needs Linux x64, or VK_DRIVER_FILES)",
	() => {
		const errors = new Map<string, string | undefined>();

		beforeAll(async () => {
			const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=@tok/source", script], {
				// Read when a process starts.
				env: { ...process.env, ...(driver === undefined && (await swiftShader())) },
				maxBuffer: 2 ** 24,
			});
			for (const line of stdout.split("\n").filter((line) => line.startsWith("{"))) {
				const { id, error } = JSON.parse(line);
				errors.set(id, error);
			}
		}, 300_000);

		test.each(conformance)("$id: $title", ({ id }) => {
			expect([...errors.keys()]).toContain(id);
			expect(errors.get(id)).toBeUndefined();
		});
	},
);

/** Vulkan on the processor, unpacked beside the browser. */
async function swiftShader(): Promise<Record<string, string>> {
	const { default: chromium } = await import("@sparticuz/chromium");
	const folder = dirname(await chromium.executablePath());
	return {
		LD_LIBRARY_PATH: [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
		VK_DRIVER_FILES: `${folder}/vk_swiftshader_icd.json`,
	};
}
