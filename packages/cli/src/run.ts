/** One command line in, one exit code out: 0 done, 1 a clear error, 130 stopped by Ctrl-C. Ends no process. */
import { stripVTControlCharacters } from "node:util";
import { renderUsage, runCommand } from "citty";
import { type Command, definitionOf, renderHelp } from "./command.ts";
import { chat } from "./commands/chat.ts";
import { generate } from "./commands/generate.ts";
import { inspect } from "./commands/inspect.ts";
import { perplexity } from "./commands/perplexity.ts";
import { pull } from "./commands/pull.ts";
import { quantize } from "./commands/quantize.ts";
import { read } from "./commands/read.ts";
import { tokenize } from "./commands/tokenize.ts";
import { describeFailure, fail, isAbort } from "./errors.ts";
import { Flags } from "./flags.ts";
import { type Io, type Services, write } from "./io.ts";
import { version } from "./version.ts";

const commands: readonly Command[] = [pull, generate, chat, read, tokenize, perplexity, inspect, quantize];

/**
 * Runs `tok` with these arguments (without the program's name).
 *
 * @returns the exit code
 */
export async function run(argv: readonly string[], io: Io, services: Services): Promise<number> {
	try {
		await dispatch(argv, io, services);
		return io.signal.aborted ? 130 : 0;
	} catch (error) {
		if (isAbort(error, io.signal)) return 130;
		await write(io.stderr, `${describeFailure(error, Boolean(io.env.TOK_DEBUG))}\n`);
		return 1;
	}
}

async function dispatch(argv: readonly string[], io: Io, services: Services): Promise<void> {
	const [name, ...rest] = argv;
	if (name === undefined || name === "--help" || name === "-h" || name === "help") {
		const subject = name === "help" ? rest[0] : undefined;
		return print(io, subject === undefined ? await renderOverview() : await renderHelp(find(subject)));
	}
	if (name === "--version" || name === "-v") return print(io, `${version}\n`);
	const command = find(name);
	if (asksForHelp(rest)) return print(io, await renderHelp(command));
	const flags = new Flags(rest, command.args, command.repeatable);
	await runCommand(
		{ ...definitionOf(command), args: {}, run: () => command.run({ flags, io, services }) },
		{ rawArgs: [] },
	);
}

function find(name: string): Command {
	const names = commands.map((command) => command.name).join(", ");
	return (
		commands.find((command) => command.name === name) ??
		fail(`expected a command (${names}), got "${name}". See tok --help.`)
	);
}

/** --help before any "--"; as the value of another flag it would be `--prompt=--help`. */
function asksForHelp(argv: readonly string[]): boolean {
	const end = argv.indexOf("--");
	return (end < 0 ? argv : argv.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

async function renderOverview(): Promise<string> {
	const usage = await renderUsage({
		meta: { name: "tok", version, description: "Language models that never run out of room" },
		subCommands: Object.fromEntries(commands.map((command) => [command.name, definitionOf(command)])),
	});
	return `${usage.trimEnd()}\n\nSettings: TOK_MODELS (a folder of models, searched first), TOK_HOME (the cache), HF_TOKEN, HF_ENDPOINT, TOK_DEBUG=1.\n`;
}

async function print(io: Io, text: string): Promise<void> {
	const color = io.stdout.isTTY === true && !io.env.NO_COLOR && io.env.TERM !== "dumb";
	await write(io.stdout, color ? text : stripVTControlCharacters(text));
}
