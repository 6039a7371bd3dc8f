/** `tok quantize`: a GGUF file with its matrices in another type. */
import type { Command } from "../command.ts";
import { fail } from "../errors.ts";
import { write, writeJson } from "../io.ts";
import { jsonFlag, modelFlag, readModelFlag } from "../shared-flags.ts";
import { formatBytes } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

export const quantize: Command = {
	name: "quantize",
	description: "Write a GGUF model anew with its weights in 8 or 4 bits",
	args: {
		...modelFlag,
		type: { type: "string", required: true, valueHint: "type", description: "q8_0 or q4_0" },
		out: { type: "string", required: true, valueHint: "file", description: "The file to write" },
		...jsonFlag,
	},
	examples: [
		[
			"tok quantize --model model-f16.gguf --type q8_0 --out model-q8_0.gguf",
			"Eight bits a weight. A source in F16 or F32 loses least; one that is quantised is rounded a second time.",
		],
		[
			"tok quantize --model model-f16.gguf --type q4_0 --out model-q4_0.gguf",
			"Four bits a weight; the embedding table and the head stay at eight.",
		],
	],
	async run({ flags, io, services }) {
		const model = readModelFlag(flags);
		const type = flags.choice("type", ["q8_0", "q4_0"] as const);
		const out = flags.text("out");
		if (type === undefined || out === undefined)
			fail("--type and --out are needed. See tok quantize --help.");
		const progress = new ProgressLine(io.stderr, io.env);
		const report = await services
			.quantizeModel(model, {
				type: type === "q8_0" ? "Q8_0" : "Q4_0",
				out,
				env: io.env,
				signal: io.signal,
				onProgress: progress.show,
			})
			.finally(() => progress.clear());
		if (flags.has("json")) return writeJson(io.stdout, report);
		const { path, before, after } = report;
		await write(io.stdout, `${path}: ${formatBytes(after)} of tensors, from ${formatBytes(before)}\n`);
	},
};
