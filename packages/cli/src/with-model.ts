/**
 * Loads a model under a progress line, lends it to a function, and frees it whatever happens; and its graphs, and the
 * archives that sessions begin with.
 */
import type { Policy } from "@tok/kv-cache";
import type { Model, Session, SessionOptions } from "@tok/lm";
import type { Context } from "./command.ts";
import { defined, type RunSettings, someHeads } from "./shared-flags.ts";
import { formatCount } from "./terminal/format.ts";
import { ProgressLine } from "./terminal/progress-line.ts";

export async function withModel(
	{ io, services }: Context,
	settings: Pick<RunSettings, "model" | "precision" | "threads" | "memoryHeads" | "memoryDisk" | "prepare">,
	use: (model: Model) => Promise<void>,
): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	// Later ones wait until nothing is drawn on the terminal any more.
	const told: string[] = [];
	let drawing = false;
	const runtime = await services.createRuntime({
		prepare: settings.prepare,
		...defined({ threads: settings.threads, disk: settings.memoryDisk }),
		onDiskFailure({ message }) {
			if (drawing) told.push(message);
			else io.stderr.write(`${message}\n`);
		},
	});
	drawing = true;
	try {
		const model = await services
			.loadModel(settings.model, {
				runtime,
				signal: io.signal,
				onProgress: progress.show,
				...defined({ precision: settings.precision, memoryHeads: someHeads(settings.memoryHeads) }),
			})
			.finally(() => progress.clear());
		try {
			await use(model);
		} finally {
			await model.dispose();
		}
	} finally {
		await runtime.dispose();
		for (const message of told) io.stderr.write(`${message}\n`);
	}
}

/** Builds the policy's graph under a progress line, so that no later clock counts it. */
export async function prepare({ io, services }: Context, model: Model, policy: Policy): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	progress.message(`Preparing ${model.info.name} …`);
	await services.prepare(model, policy).finally(() => progress.clear());
}

/** A session, which begins with the archive at `path` if there is one. */
export async function openSession(
	{ io }: Context,
	model: Model,
	path: string | undefined,
	options: SessionOptions,
): Promise<Session> {
	if (path === undefined) return model.createSession(options);
	const progress = new ProgressLine(io.stderr, io.env);
	progress.message(`Opening ${path} …`);
	return model
		.createSessionWithArchive(path, {
			...options,
			signal: io.signal,
			onProgress: (tokens, total) =>
				progress.tick(`Opening ${path}: ${formatCount(tokens)} of ${formatCount(total)} tokens`),
		})
		.finally(() => progress.clear());
}
