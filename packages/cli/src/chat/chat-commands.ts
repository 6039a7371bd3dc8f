/** The /commands of `tok chat`. A mistake is a message; the conversation goes on. */
import { parsePolicy } from "@tok/kv-cache";
import { TokError } from "@tok/lm";
import { recalledText } from "../generation/recalled-text.ts";
import { checkRestorePath, checkSavePath } from "../sampling-flags.ts";
import { rememberingPolicy } from "../shared-flags.ts";
import { formatBytes, formatCache, formatCount } from "../terminal/format.ts";
import type { Conversation } from "./conversation.ts";

export interface CommandResult {
	/** What to show. */
	readonly text: string;
	/** The conversation is over. */
	readonly exit?: boolean;
}

interface ChatCommand {
	readonly usage: string;
	readonly meaning: string;
	run(conversation: Conversation, argument: string, columns: number): CommandResult | Promise<CommandResult>;
}

const chatCommands: Readonly<Record<string, ChatCommand>> = {
	help: { usage: "/help", meaning: "this list", run: () => ({ text: helpText() }) },
	policy: {
		usage: "/policy [POLICY]",
		meaning: "show the cache policy, or go on under another one",
		async run(conversation, argument) {
			if (argument === "") return { text: conversation.policy };
			const turns = await conversation.changePolicy(parsePolicy(argument));
			return { text: `${conversation.policy}; the last ${turns} turns were read again.` };
		},
	},
	save: {
		usage: "/save FILE",
		meaning: "write the conversation's state to a file",
		async run(conversation, argument) {
			await checkSavePath("/save", required(argument));
			await conversation.save(argument);
			return { text: `Saved to ${argument}.` };
		},
	},
	restore: {
		usage: "/restore FILE",
		meaning: "go on from a saved state",
		async run(conversation, argument) {
			await checkRestorePath("/restore", required(argument));
			await conversation.restore(argument);
			return { text: `Restored ${formatCount(conversation.stats.length)} tokens from ${argument}.` };
		},
	},
	recall: {
		usage: "/recall",
		meaning: "the earlier passages that the last answer drew on",
		run: (conversation, _, columns) => ({ text: recallText(conversation, columns) }),
	},
	stats: {
		usage: "/stats",
		meaning: "tokens, cache and memory",
		run: (conversation) => ({ text: statsText(conversation) }),
	},
	clear: {
		usage: "/clear",
		meaning: "forget the conversation, keep the system message",
		async run(conversation) {
			await conversation.clear();
			return { text: "Forgotten." };
		},
	},
	exit: {
		usage: "/exit",
		meaning: "leave; Ctrl-D and Ctrl-C do the same",
		run: () => ({ text: "", exit: true }),
	},
};

/**
 * Undefined when the line is a message, not a command. "//" at its start is a message that begins with "/".
 *
 * @param columns Width of the terminal.
 */
export async function runChatCommand(
	line: string,
	conversation: Conversation,
	columns: number,
): Promise<CommandResult | undefined> {
	const match = /^\/(?!\/)(\S*)\s*(.*)$/s.exec(line.trim());
	if (match === null) return undefined;
	const [, name = "", argument = ""] = match;
	const command = Object.hasOwn(chatCommands, name) ? chatCommands[name] : undefined;
	if (command === undefined) return { text: `There is no /${name}.\n${helpText()}` };
	try {
		return await command.run(conversation, argument.trim(), columns);
	} catch (error) {
		if (TokError.isInstance(error)) return { text: (error as Error).message };
		throw error;
	}
}

function helpText(): string {
	return Object.values(chatCommands)
		.map(({ usage, meaning }) => `${usage.padEnd(18)} ${meaning}`)
		.join("\n");
}

function recallText(conversation: Conversation, columns: number): string {
	if (!conversation.remembers)
		return `${conversation.policy} keeps nothing of what leaves the window. Try /policy ${rememberingPolicy}`;
	// The margin is the prompt's rule; lines beyond 80 columns are hard to read.
	return recalledText(conversation.recalled, Math.min(columns, 80) - 4);
}

function statsText({ stats, policy }: Conversation): string {
	return [
		`${formatCount(stats.length)} tokens in all`,
		`${formatCount(stats.retained)} kept, ${formatCount(stats.evicted)} evicted, under ${policy}`,
		`${formatCache(stats)}, memory ${formatBytes(process.memoryUsage.rss())}`,
	].join("\n");
}

function required(argument: string): string {
	if (argument !== "") return argument;
	throw new TokError("cli", "expected a file name after the command, got nothing.");
}
