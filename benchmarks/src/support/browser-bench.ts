/**
 * `npm run bench browser`: a package with a lock file of its own in benchmarks/browser, installed when it is asked for,
 * since it brings the peers and another onnxruntime.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../browser/", import.meta.url));

/** The exit code. */
export async function runBrowserBench(args: readonly string[]): Promise<number> {
	const installed = await run("pnpm", ["--dir", folder, "install", "--frozen-lockfile", "--silent"]);
	return installed === 0 ? run(process.execPath, [`${folder}src/main.ts`, ...args]) : installed;
}

function run(command: string, args: readonly string[]): Promise<number> {
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, { stdio: "inherit", shell: process.platform === "win32" });
		// A terminal tells the child as well, and the child ends when it has put its things away.
		const forward = (signal: NodeJS.Signals): void => {
			if (process.stdin.isTTY !== true) child.kill(signal);
		};
		process.on("SIGINT", forward).on("SIGTERM", forward);
		child.on("error", reject);
		child.on("close", (code, signal) => {
			process.off("SIGINT", forward).off("SIGTERM", forward);
			resolve(code ?? (signal === null ? 1 : 130));
		});
	});
}
