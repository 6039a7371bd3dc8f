/** A Chromium whose WebGPU runs without a GPU too: an installed one, else the one that comes from npm (Linux x64). */
import { existsSync } from "node:fs";

export interface ChromiumLaunch {
	readonly executablePath: string;
	readonly args: string[];
}

const installed = ["/usr/bin/chromium", "/usr/bin/google-chrome"];

export async function chromium(): Promise<ChromiumLaunch> {
	const own = [process.env.CHROME_PATH, ...installed].find((path) => path !== undefined && existsSync(path));
	return { executablePath: own ?? (await fromNpm()), args: [...flags] };
}

async function fromNpm(): Promise<string> {
	const { default: packed } = await import("@sparticuz/chromium");
	return packed.executablePath();
}

/** WebGPU on SwiftShader, Chromium's renderer in software, and no traffic of the browser's own. */
const flags = [
	"--no-sandbox",
	"--enable-unsafe-webgpu",
	"--use-webgpu-adapter=swiftshader",
	"--enable-features=Vulkan",
	"--ignore-gpu-blocklist",
	"--disable-gpu-sandbox",
	"--in-process-gpu",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--no-first-run",
	"--disable-quic",
];
