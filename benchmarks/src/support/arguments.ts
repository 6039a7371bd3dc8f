/** Command-line arguments of the measuring commands: one word, then flags. A mistake prints the usage and ends. */
import { parseArgs } from "node:util";

export interface Arguments<Command extends string> {
	readonly command: Command;
	text(name: string): string | undefined;
	/** A whole number ≥ 1. */
	integer(name: string): number | undefined;
	/** A regular expression. */
	pattern(name: string): RegExp | undefined;
	has(name: string): boolean;
}

/** @param commands The first is the default. The flags are those that stand in `usage`, with a value unless alone. */
export function readArguments<Command extends string>(
	commands: readonly [Command, ...Command[]],
	usage: string,
): Arguments<Command> {
	const options: Record<string, { type: "string" | "boolean" }> = { help: { type: "boolean" } };
	for (const [, name, value] of usage.matchAll(/^ {2}--([a-z-]+) ([A-Z]+)?/gm))
		options[name as string] = { type: value === undefined ? "boolean" : "string" };
	const stop = (message: string): never => {
		console.error(`${message}\n\n${usage}`);
		process.exit(1);
	};
	const { values, positionals } = parse();
	if (values.help === true) {
		console.log(usage);
		process.exit(0);
	}
	const [command = commands[0], ...rest] = positionals;
	if (rest.length > 0 || !commands.includes(command as Command))
		stop(`expected one of ${commands.join(", ")}, got ${positionals.join(" ")}.`);
	return {
		command: command as Command,
		text: (name) => values[name] as string | undefined,
		integer(name) {
			const value = values[name];
			if (value === undefined) return undefined;
			const number = Number(value);
			if (Number.isSafeInteger(number) && number >= 1) return number;
			return stop(`--${name}: expected an integer ≥ 1, got ${value}.`);
		},
		pattern(name) {
			const value = values[name];
			if (value === undefined) return undefined;
			try {
				return new RegExp(String(value));
			} catch {
				return stop(`--${name}: expected a regular expression, got ${value}.`);
			}
		},
		has: (name) => values[name] === true,
	};

	function parse(): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
		try {
			const parsed = parseArgs({ options, allowPositionals: true });
			return {
				values: { ...parsed.values } as Record<string, string | boolean>,
				positionals: parsed.positionals,
			};
		} catch (error) {
			return stop((error as Error).message);
		}
	}
}
