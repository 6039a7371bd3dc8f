/** A tiny model that is open while the tests of a file run: `tinyModelFolder`, read on a processor with one thread. */
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll } from "vitest";
import { loadModel } from "../load-model.ts";
import type { LoadModelOptions, Model } from "../model.ts";
import { removeFolder, tinyModelFolder } from "./tiny-model.ts";

export interface OpenTinyModel {
	/** Where tests may write too. */
	readonly folder: string;
	readonly runtime: Runtime;
	readonly model: Model;
}

/** To be awaited at the top of a file. What it opens, `runtime` included, it disposes after the file's last test. */
export async function openTinyModel(options: Partial<LoadModelOptions> = {}): Promise<OpenTinyModel> {
	const { runtime = cpu({ threads: 1 }) } = options;
	const folder = tinyModelFolder();
	const model = await loadModel(folder, { ...options, runtime });
	afterAll(async () => {
		await model.dispose();
		await runtime.dispose();
		removeFolder(folder);
	});
	return { folder, runtime, model };
}
