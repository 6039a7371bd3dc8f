/** Archives that `tok read` has written, and saved sessions, as something to begin with; the policies that hold them. */
import { type ChosenBy, memory, type Policy, parsePolicy, rolling, sink } from "@tok/kv-cache";
import type { ArchiveInfo, Model, SessionInfo } from "@tok/lm";
import type { ArgsDef } from "citty";
import { fail } from "./errors.ts";
import type { Flags } from "./flags.ts";
import type { Services } from "./io.ts";
import type { SessionFiles } from "./sampling-flags.ts";
import { type RunSettings, rememberingPolicy } from "./shared-flags.ts";

export const memoryFlag: ArgsDef = {
	memory: {
		type: "string",
		valueHint: "file",
		description: "Begin with what tok read has archived, within reach from the first token on",
	},
};

/** A policy's window, and what an archive of one's own may take besides what is attached, in tokens. */
const sinks = 4;
const window = 1020;
const ownTokens = 4096;
const recalledBlocks = 8;
const blockSize = 16;

/** What --memory names, from its header: read before a model is loaded. */
export async function readMemoryFlag(flags: Flags, services: Services): Promise<ArchiveInfo | undefined> {
	const path = flags.text("memory");
	if (path === undefined) return undefined;
	if (flags.has("restore"))
		fail("expected either --memory or --restore, got both. A saved session has its memory in it.");
	return services.inspectArchive(path);
}

/** What --restore names, from its header: read before a model is loaded. */
export async function inspectRestored(
	{ restore }: SessionFiles,
	services: Services,
): Promise<SessionInfo | undefined> {
	return restore === undefined ? undefined : services.inspectSession(restore);
}

/**
 * An archive and a saved session fit one precision and one choice of heads: they are their own unless the flags say
 * otherwise.
 */
export function settingsFor(
	settings: RunSettings,
	archive: ArchiveInfo | undefined,
	saved?: SessionInfo | undefined,
): RunSettings {
	return {
		...settings,
		precision: settings.precision ?? archive?.precision ?? saved?.precision,
		memoryHeads: settings.memoryHeads ?? archive?.heads ?? saved?.memoryHeads,
	};
}

/**
 * Holds an archive and some thousand tokens more, before a window like that of the other defaults. It is there to be
 * asked about, and rotated queries find more (docs/memory.md).
 */
export function policyFor(archive: ArchiveInfo, { turns }: { readonly turns: boolean }): Policy {
	return holding(archive.tokens + ownTokens, archive.blockSize, { turns, chosenBy: "rotated" });
}

/** Archives all of a text of so many tokens. */
export function policyForText(tokens: number, archive: ArchiveInfo | undefined): Policy {
	return holding((archive?.tokens ?? 0) + tokens, archive?.blockSize ?? blockSize);
}

/** A conversation's when nobody says otherwise: with memory, where the model has heads that can recall. */
export function chatPolicy({ info }: Model, archive: ArchiveInfo | undefined): Policy {
	if (archive !== undefined) return policyFor(archive, { turns: true });
	return parsePolicy(info.memoryHeads.length > 0 ? rememberingPolicy : "sink:4,rolling:2044:turns");
}

function holding(
	tokens: number,
	blockSize: number,
	{ turns = false, chosenBy }: { readonly turns?: boolean; readonly chosenBy?: ChosenBy } = {},
): Policy {
	const blocks = Math.max(1, Math.ceil(tokens / blockSize));
	const recall = Math.min(recalledBlocks, blocks);
	return [
		sink(sinks),
		memory({ capacity: blocks * blockSize, blockSize, recall, ...(chosenBy && { chosenBy }) }),
		rolling(window, { turns }),
	];
}
