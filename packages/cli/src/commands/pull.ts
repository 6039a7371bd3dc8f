/** `tok pull NAME`: brings a model into the cache, or says where it is already. */
import { stat } from "node:fs/promises";
import type { Command } from "../command.ts";
import { write, writeJson } from "../io.ts";
import { jsonFlag } from "../shared-flags.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

export const pull: Command = {
	name: "pull",
	description: "Fetch a model into the cache and print its path",
	args: {
		name: {
			type: "positional",
			required: true,
			description: "smollm2-135m, hf:owner/repo/file, hf:owner/repo, or a path",
		},
		...jsonFlag,
	},
	examples: [
		["tok pull smollm2-135m", "The model that the other commands take by default, 98 MB."],
		["tok pull hf:owner/repo/model.Q4_K_M.gguf", "One file of a repository on the Hugging Face hub."],
		["tok pull hf:owner/repo@v1.0", "A folder in transformers' layout, at a branch, tag or commit."],
	],
	async run({ flags, io, services }) {
		const name = flags.text("name") ?? "";
		const progress = new ProgressLine(io.stderr, io.env);
		const found = await services
			.resolveModel(name, { env: io.env, signal: io.signal, onProgress: progress.show })
			.finally(() => progress.clear());
		const stats = await stat(found.path);
		const bytes = stats.isFile() ? stats.size : undefined;
		if (flags.has("json")) await writeJson(io.stdout, { ...found, bytes });
		else await write(io.stdout, `${found.path}\n`);
	},
};
