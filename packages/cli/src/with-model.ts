/** Loads a model under a progress line, lends it to a function, and frees it whatever happens. */
import type { Model } from "@tok/lm";
import type { Context } from "./command.ts";
import { defined, type RunSettings } from "./shared-flags.ts";
import { ProgressLine } from "./terminal/progress-line.ts";

export async function withModel(
	{ io, services }: Context,
	settings: Pick<RunSettings, "model" | "precision" | "threads">,
	use: (model: Model) => Promise<void>,
): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	const runtime = await services.createRuntime(defined({ threads: settings.threads }));
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
