/**
 * `tok chat`: a conversation that never has to end: old turns leave the window whole and stay within reach, the system
 * message stays.
 */
import { log } from "@clack/prompts";
import { parsePolicy } from "@tok/kv-cache";
import type { FinishReason, Model, SpeculationCounts } from "@tok/lm";
import { runChatCommand } from "../chat/chat-commands.ts";
import { chatMessages } from "../chat/chat-input.ts";
import { Conversation } from "../chat/conversation.ts";
import type { Command } from "../command.ts";
import { createDisplay } from "../generation/display.ts";
import { recalledJson } from "../generation/recalled-text.ts";
import { type Io, write, writeJson } from "../io.ts";
import { chatPolicy, inspectRestored, memoryFlag, readMemoryFlag, settingsFor } from "../memory-flags.ts";
import { readSampling, readSessionFiles, samplingFlags, sessionFileFlags } from "../sampling-flags.ts";
import {
	defined,
	jsonFlag,
	modelFlag,
	policyHint,
	readPolicy,
	readRunFlags,
	rememberingPolicy,
	runFlags,
} from "../shared-flags.ts";
import { formatBytes, formatSpeculation } from "../terminal/format.ts";
import { openSession, prepare, withModel } from "../with-model.ts";

const defaultTokens = 1024;

interface Exchange {
	readonly user: string;
	readonly assistant: string;
	readonly finishReason: FinishReason;
	/** Present with --speculate. */
	readonly speculation?: SpeculationCounts;
	/** Present under a policy with memory. */
	readonly recalled?: object[];
}

export const chat: Command = {
	name: "chat",
	description: "Talk with a model, for as long as you like",
	args: {
		...modelFlag,
		system: { type: "string", valueHint: "text", description: "The system message; it is never dropped" },
		"max-tokens": {
			type: "string",
			valueHint: "count",
			description: `Longest answer. Default: ${defaultTokens}`,
		},
		policy: {
			type: "string",
			valueHint: "policy",
			description: `${policyHint}. Default: ${rememberingPolicy}`,
		},
		...runFlags,
		...samplingFlags,
		...memoryFlag,
		...sessionFileFlags,
		...jsonFlag,
	},
	repeatable: ["stop"],
	examples: [
		[
			"tok chat",
			"Talk; /help lists the commands, Ctrl-C stops an answer, and leaves when pressed at the prompt.",
		],
		[
			"tok chat --memory book.tokmem",
			"Talk about a book that tok read has read; /recall shows the passages.",
		],
		[
			'tok chat --system "You are a pirate." --policy rolling:500:turns',
			"A short window of whole turns, and nothing beyond it.",
		],
		[
			"printf 'Hi\\nTell me more\\n' | tok chat --json",
			"Messages by line, the conversation as one JSON object.",
		],
	],
	async run(context) {
		const { flags, io, services } = context;
		const json = flags.has("json");
		const archive = await readMemoryFlag(flags, services);
		const files = await readSessionFiles(flags);
		const saved = await inspectRestored(files, services);
		const settings = settingsFor(readRunFlags(flags), archive, saved);
		const policy = readPolicy(flags);
		const sampling = readSampling(flags);
		const maxTokens = flags.integer("max-tokens", 1) ?? defaultTokens;
		await withModel(context, settings, async (model) => {
			const conversation = await Conversation.start(model, {
				policy: policy ?? chatPolicy(model, archive),
				open: (options) => openSession(context, model, archive?.path, options),
				system: flags.text("system"),
				sampling,
				maxTokens,
				...defined({ positions: settings.positions, chunk: settings.chunk }),
			});
			try {
				if (files.restore !== undefined) await conversation.restore(files.restore);
				await write(io.stderr, `${costText(model, conversation)}\n`);
				await prepare(context, model, parsePolicy(conversation.policy));
				const exchanges: Exchange[] = [];
				for await (const line of chatMessages(io)) {
					const result = await runChatCommand(line, conversation, io.stdout.columns ?? 80);
					if (result?.exit) break;
					if (result !== undefined) await show(io, json, result.text);
					else {
						const exchange = await answer(conversation, line.replace(/^\/\//, "/"), io, json);
						// Only a JSON object needs the whole conversation; it has an end.
						if (json) exchanges.push(exchange);
					}
				}
				if (files.save !== undefined) await conversation.save(files.save);
				if (json) {
					const { retained, evicted, bytes } = conversation.stats;
					await writeJson(io.stdout, {
						model: model.info.name,
						policy: conversation.policy,
						turns: exchanges,
						cache: { retained, evicted, bytes },
						rssBytes: process.memoryUsage.rss(),
					});
				}
			} finally {
				conversation.dispose();
			}
		});
	},
};

function costText(model: Model, { policy, remembers }: Conversation): string {
	const bytes = model.cacheBytes(parsePolicy(policy));
	const cost = Number.isFinite(bytes) ? `cache up to ${formatBytes(bytes)}` : "a cache without a limit";
	return `${policy}: ${cost}${remembers ? `; ${headsText(model.info)}` : ""}`;
}

function headsText({ memoryHeads, layers, kvHeads }: Model["info"]): string {
	const heads = memoryHeads.reduce((sum, { heads }) => sum + heads.length, 0);
	return `${heads} of ${layers * kvHeads} heads remember`;
}

/** Ctrl-C while the model answers ends the answer, not the conversation. */
async function answer(conversation: Conversation, user: string, io: Io, json: boolean): Promise<Exchange> {
	const stopped = new AbortController();
	const release = io.intercept(() => stopped.abort());
	const display = createDisplay(io, { quiet: json }, () => conversation.stats);
	const texts: string[] = [];
	try {
		const { finishReason, speculation } = await conversation.say(
			user,
			{
				reading: (read, total) => display.reading(read, total),
				async token({ text }) {
					texts.push(text);
					await display.token(text);
				},
			},
			AbortSignal.any([io.signal, stopped.signal]),
		);
		if (speculation !== undefined) display.end(formatSpeculation(speculation));
		return {
			user,
			assistant: texts.join(""),
			finishReason,
			...(speculation && { speculation }),
			...(conversation.remembers && { recalled: recalledJson(conversation.recalled) }),
		};
	} finally {
		release();
		display.close();
	}
}

async function show(io: Io, json: boolean, text: string): Promise<void> {
	// With --json standard output is for the one object.
	if (json || io.stdout.isTTY !== true) await write(io.stderr, `${text}\n`);
	else log.message(text, { output: io.stdout as NodeJS.WriteStream });
}
