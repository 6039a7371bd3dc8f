/** Loads a model under a progress line, lends it to a function, and frees it whatever happens; and its graphs. */
import type { Policy } from "@tok/kv-cache";
import type { Model } from "@tok/lm";
import type { Context } from "./command.ts";
import { defined, type RunSettings } from "./shared-flags.ts";
import { ProgressLine } from "./terminal/progress-line.ts";

export async function withModel(
	{ io, services }: Context,
	settings: Pick<RunSettings, "model" | "precision" | "threads" | "prepare">,
	use: (model: Model) => Promise<void>,
): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	const runtime = await services.createRuntime({
		prepare: settings.prepare,
		...defined({ threads: settings.threads }),
	});
	try {
		const model = await services
			.loadModel(settings.model, {
				runtime,
				signal: io.signal,
				onProgress: progress.show,
				...defined({ precision: settings.precision }),
			})
			.finally(() => progress.clear());
		try {
			await use(model);
		} finally {
			await model.dispose();
		}
	} finally {
		await runtime.dispose();
	}
}

/** Builds the policy's graph under a progress line, so that no later clock counts it. */
export async function prepare({ io, services }: Context, model: Model, policy: Policy): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	progress.message(`Preparing ${model.info.name} …`);
	await services.prepare(model, policy).finally(() => progress.clear());
}
