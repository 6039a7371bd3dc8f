/** What one command is: citty's definition for help and arguments, examples, and a function that runs it. */
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

/** What citty knows of a command. */
export function definitionOf(command: Command): CommandDef {
	return { meta: { name: command.name, description: command.description }, args: command.args };
}

export async function renderHelp(command: Command): Promise<string> {
	const usage = await renderUsage(definitionOf(command), { meta: { name: "tok" } });
	const examples = command.examples.map(([line, meaning]) => `  ${line}\n      ${meaning}`);
	return `${usage.replace(/ +$/gm, "").trimEnd()}\n\nEXAMPLES\n\n${examples.join("\n")}\n`;
}
