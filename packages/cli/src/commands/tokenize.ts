/** `tok tokenize`: a text as the model's token ids. Reads the tokenizer alone, no weights. */
import type { Command } from "../command.ts";
import { fail } from "../errors.ts";
import { write, writeJson } from "../io.ts";
import { readText } from "../read-input.ts";
import { jsonFlag, modelFlag, readModelFlag } from "../shared-flags.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

export const tokenize: Command = {
	name: "tokenize",
	description: "Turn a text into token ids",
	args: {
		...modelFlag,
		text: { type: "string", valueHint: "text", description: "The text itself" },
		"text-file": { type: "string", valueHint: "file", description: "UTF-8 text; - for standard input" },
		special: { type: "boolean", description: "Read <|im_start|> and the like as control tokens" },
		...jsonFlag,
	},
	examples: [
		['tok tokenize --text "Once upon a time"', "One line per token: its id and its text."],
		["tok tokenize --text-file book.txt --json", '{"ids":[…]}'],
	],
	async run({ flags, io, services }) {
		const model = readModelFlag(flags);
		const given = flags.text("text");
		const file = flags.text("text-file");
		if ((given === undefined) === (file === undefined)) {
			fail(`expected either --text or --text-file, got ${given === undefined ? "neither" : "both"}.`);
		}
		const text = given ?? (await readText("--text-file", file ?? "-", io));
		const progress = new ProgressLine(io.stderr, io.env);
		const tokenizer = await services
			.loadTokenizer(model, { env: io.env, signal: io.signal, onProgress: progress.show })
			.finally(() => progress.clear());
		const ids = tokenizer.encode(text, { parseSpecial: flags.has("special") });
		if (flags.has("json")) return writeJson(io.stdout, { ids });
		for (const id of ids) await write(io.stdout, `${id}\t${JSON.stringify(tokenizer.tokenText(id))}\n`);
	},
};
