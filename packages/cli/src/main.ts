/** The process around a command: streams, Ctrl-C, closed pipes, the exit code. */
import { setFlagsFromString } from "node:v8";
import { restartWithHugePages } from "@tok/runtime-cpu/huge-pages";
import { interruptible } from "./interrupt.ts";
import type { Io } from "./io.ts";
import { runsModel } from "./runs-model.ts";
import { services } from "./services.ts";

/** Runs `tok` with the process's arguments, and ends the process. */
export async function main(): Promise<never> {
	const argv = process.argv.slice(2);
	if (runsModel(argv)) restartWithHugePages();
	// V8 lets the space of new objects grow to 48 MB while a vocabulary is read, and keeps it.
	setFlagsFromString("--semi-space-growth-factor=1");
	// Imported late, so that a restart costs little.
	const { run } = await import("./run.ts");
	const controller = new AbortController();
	let pipeClosed = false;
	process.stdout.on("error", (error: NodeJS.ErrnoException) => {
		// `tok … | head`: the reader has seen enough.
		pipeClosed = error.code === "EPIPE";
		controller.abort(error);
	});
	const { stdin, stdout, stderr, env } = process;
	const { signal } = controller;
	const code = await interruptible(controller, (guard) => {
		const io: Io = { stdin, stdout, stderr, env, signal, intercept: guard.intercept };
		return run(argv, io, services(guard));
	});
	await Promise.all(
		[process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done))),
	);
	process.exit(pipeClosed ? 0 : code);
}
