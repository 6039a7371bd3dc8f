/** `tok generate`: goes on from a prompt, to a number of tokens or without an end. */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Model } from "@tok/lm";
import type { Command } from "../command.ts";
import { fail } from "../errors.ts";
import type { Flags } from "../flags.ts";
import { createDisplay } from "../generation/display.ts";
import { runGeneration } from "../generation/generation.ts";
import { recalledJson } from "../generation/recalled-text.ts";
import { type Io, writeJson } from "../io.ts";
import { inspectRestored, memoryFlag, policyFor, readMemoryFlag, settingsFor } from "../memory-flags.ts";
import { readText } from "../read-input.ts";
import { readSampling, readSessionFiles, samplingFlags, sessionFileFlags } from "../sampling-flags.ts";
import {
	defined,
	jsonFlag,
	modelFlag,
	policyHint,
	readPolicy,
	readRunFlags,
	runFlags,
} from "../shared-flags.ts";
import { formatSpeculation } from "../terminal/format.ts";
import { openSession, prepare, withModel } from "../with-model.ts";

const defaultPolicy = "sink:4,rolling:1020";
/** Tokens when the output is no terminal and nobody said how many. */
const defaultTokens = 256;

export const generate: Command = {
	name: "generate",
	description: "Continue a prompt, for a number of tokens or for ever",
	args: {
		...modelFlag,
		prompt: {
			type: "string",
			valueHint: "text",
			description: "Where to begin; empty for the model's own start",
		},
		"prompt-file": { type: "string", valueHint: "file", description: "UTF-8 text; - for standard input" },
		chat: {
			type: "boolean",
			description: "Ask the prompt as a user's message, in the model's chat template",
		},
		system: { type: "string", valueHint: "text", description: "The system message, with --chat" },
		"max-tokens": {
			type: "string",
			valueHint: "count",
			description: `Stop after so many. Default: never on a terminal, ${defaultTokens} elsewhere`,
		},
		endless: { type: "boolean", description: "Never stop, not even at the model's end-of-text token" },
		policy: { type: "string", valueHint: "policy", description: `${policyHint}. Default: ${defaultPolicy}` },
		...runFlags,
		...samplingFlags,
		...memoryFlag,
		...sessionFileFlags,
		...jsonFlag,
	},
	repeatable: ["stop"],
	examples: [
		[
			'tok generate --prompt "Once upon a time"',
			"A story without an end, under a status line. Ctrl-C stops it.",
		],
		[
			"tok generate --prompt-file book.txt --max-tokens 200",
			"A prompt longer than the window streams through it.",
		],
		[
			'tok generate --chat --prompt "What is a whale?" --temperature 0 --max-tokens 96 --json',
			"One JSON object.",
		],
		[
			"echo Hello | tok generate --prompt-file - --max-tokens 20 --save s.tok",
			"Keep the session in a file …",
		],
		[
			'tok generate --memory book.tokmem --prompt "Who is the harbour master?" --chat',
			"Ask about a book that tok read has read.",
		],
		["tok generate --restore s.tok --max-tokens 20", "… and go on from it, as if there had been no break."],
	],
	async run(context) {
		const { flags, io, services } = context;
		const json = flags.has("json");
		const archive = await readMemoryFlag(flags, services);
		const files = await readSessionFiles(flags);
		const settings = settingsFor(readRunFlags(flags), archive, await inspectRestored(files, services));
		const policy = readPolicy(flags);
		const sampling = readSampling(flags);
		const length = readLength(flags, io);
		const prompt = await readPrompt(flags, io);
		await withModel(context, settings, async (model) => {
			const promptIds = prompt === undefined ? [] : encodePrompt(model, prompt, flags);
			const session =
				files.restore === undefined
					? await openSession(context, model, archive?.path, {
							policy: policy ?? (archive ? policyFor(archive, { turns: false }) : parsePolicy(defaultPolicy)),
							...defined({ positions: settings.positions, chunk: settings.chunk }),
						})
					: await model.restoreSession(files.restore, defined({ policy, chunk: settings.chunk }));
			const display = createDisplay(io, { quiet: json }, () => session.stats);
			try {
				await prepare(context, model, session.policy);
				await display.text(prompt ?? "");
				const texts: string[] = [];
				const ids: number[] = [];
				const report = await runGeneration(
					session,
					promptIds,
					{ ...sampling, ...length, signal: io.signal },
					{
						reading: (read, total) => display.reading(read, total),
						async token({ id, text }) {
							// An endless generation is not kept; a JSON object has an end.
							if (json) {
								ids.push(id);
								texts.push(text);
							}
							await display.token(text);
						},
					},
				);
				if (report.speculation === undefined) display.close();
				else display.end(formatSpeculation(report.speculation));
				if (files.save !== undefined) await session.save(files.save);
				if (json) {
					const remembers = session.policy.some(({ recall }) => recall !== undefined);
					await writeJson(io.stdout, {
						model: model.info.name,
						policy: formatPolicy(session.policy),
						precision: model.info.precision,
						text: texts.join(""),
						ids,
						...report,
						...(remembers && { recalled: recalledJson(session.recalled()) }),
					});
				}
			} finally {
				display.close();
				session.dispose();
			}
		});
	},
};

function readLength(flags: Flags, io: Io): { maxTokens?: number; ignoreEndOfText: boolean } {
	const maxTokens = flags.integer("max-tokens", 1);
	const endless = flags.has("endless");
	if (endless && maxTokens !== undefined) fail("expected either --endless or --max-tokens, got both.");
	if (endless && flags.has("json")) fail("--endless has no end to write --json at. Give --max-tokens.");
	if (endless) return { ignoreEndOfText: true };
	if (maxTokens !== undefined) return { maxTokens, ignoreEndOfText: false };
	// A person has Ctrl-C; an answer ends by itself, a story does not.
	if (io.stdout.isTTY === true && !flags.has("json")) return { ignoreEndOfText: !flags.has("chat") };
	return { maxTokens: defaultTokens, ignoreEndOfText: false };
}

/** Undefined when a restored session goes on without one. */
async function readPrompt(flags: Flags, io: Io): Promise<string | undefined> {
	const text = flags.text("prompt");
	const file = flags.text("prompt-file");
	if (text !== undefined && file !== undefined) fail("expected either --prompt or --prompt-file, got both.");
	if (flags.has("system") && !flags.has("chat")) fail("--system is for --chat. Add --chat, or leave it out.");
	if (file !== undefined) return readText("--prompt-file", file, io);
	if (text === undefined && !flags.has("restore")) {
		fail(
			'expected --prompt TEXT or --prompt-file FILE (- for standard input), got neither. Try --prompt "Once upon a time".',
		);
	}
	return text;
}

function encodePrompt(model: Model, prompt: string, flags: Flags): readonly number[] {
	const { tokenizer, chatTemplate } = model;
	if (flags.has("chat")) {
		if (chatTemplate === undefined)
			fail(`--chat: ${model.info.name} carries no chat template. Leave --chat out.`);
		const system = flags.text("system");
		const messages = [
			...(system === undefined ? [] : [{ role: "system", content: system }]),
			{ role: "user", content: prompt },
		];
		return tokenizer.encode(chatTemplate.render(messages), { parseSpecial: true, addSpecialTokens: false });
	}
	const ids = tokenizer.encode(prompt, { addSpecialTokens: !flags.has("restore") });
	if (ids.length > 0 || flags.has("restore")) return ids;
	// A model cannot predict from nothing: an empty prompt is the token that begins, or else ends, a text.
	const start = tokenizer.bosId ?? tokenizer.eosId;
	return start === undefined
		? fail(
				`--prompt: expected a text, got nothing, and ${model.info.name} has no token to begin with. Give a text.`,
			)
		: [start];
}
