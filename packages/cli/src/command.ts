/**
 * What one command is: citty's definition for help and arguments, examples, and a function that runs it; and what a
 * group of commands is, which runs nothing itself.
 */
import { type ArgsDef, type CommandDef, renderUsage } from "citty";
import type { Flags } from "./flags.ts";
import type { Io, Services } from "./io.ts";

export interface Context {
	readonly flags: Flags;
	readonly io: Io;
	readonly services: Services;
}

export interface Command {
	readonly name: string;
	readonly description: string;
	readonly args: ArgsDef;
	/** Flags that may be given more than once. */
	readonly repeatable?: readonly string[];
	/** Complete command lines, each with what it does. */
	readonly examples: readonly (readonly [line: string, meaning: string])[];
	run(context: Context): Promise<void>;
}

/** Commands behind a common word, such as `tok eval needle`. */
export interface CommandGroup {
	readonly name: string;
	readonly description: string;
	readonly commands: readonly Command[];
}

export function isGroup(entry: Command | CommandGroup): entry is CommandGroup {
	return "commands" in entry;
}

/** What citty knows of a command or a group. */
export function definitionOf(entry: Command | CommandGroup): CommandDef {
	const meta = { name: entry.name, description: entry.description };
	if (!isGroup(entry)) return { meta, args: entry.args };
	return {
		meta,
		subCommands: Object.fromEntries(entry.commands.map((command) => [command.name, definitionOf(command)])),
	};
}

/** @param parent What stands before the name on a command line: "tok", "tok eval". */
export async function renderHelp(entry: Command | CommandGroup, parent: string): Promise<string> {
	const usage = await renderUsage(definitionOf(entry), { meta: { name: parent } });
	if (isGroup(entry)) return `${usage.trimEnd()}\n`;
	const command = entry;
	const examples = command.examples.map(([line, meaning]) => `  ${line}\n      ${meaning}`);
	return `${usage.replace(/ +$/gm, "").trimEnd()}\n\nEXAMPLES\n\n${examples.join("\n")}\n`;
}
