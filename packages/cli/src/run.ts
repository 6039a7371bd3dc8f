/** One command line in, one exit code out: 0 done, 1 a clear error, 130 stopped by Ctrl-C. Ends no process. */
import { stripVTControlCharacters } from "node:util";
import { renderUsage, runCommand } from "citty";
import { type Command, type CommandGroup, definitionOf, isGroup, renderHelp } from "./command.ts";
import { chat } from "./commands/chat.ts";
import { evaluate } from "./commands/eval/eval.ts";
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

/** All of them, in the order of the overview. */
export const commands: readonly (Command | CommandGroup)[] = [
	pull,
	generate,
	chat,
	read,
	tokenize,
	perplexity,
	evaluate,
	inspect,
	quantize,
];

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
	const [name] = argv;
	if (name === "--version" || name === "-v") return print(io, `${version}\n`);
	if (name === "help" || name === "--help" || name === "-h") return printHelp(io, argv.slice(1));
	const { entry, parent, rest } = find(argv);
	if (entry === undefined || isGroup(entry) || asksForHelp(rest)) {
		return print(io, entry === undefined ? await renderOverview() : await renderHelp(entry, parent));
	}
	const flags = new Flags(rest, entry.args, entry.repeatable);
	await runCommand(
		{ ...definitionOf(entry), args: {}, run: () => entry.run({ flags, io, services }) },
		{ rawArgs: [] },
	);
}

async function printHelp(io: Io, names: readonly string[]): Promise<void> {
	const { entry, parent } = find(names);
	await print(io, entry === undefined ? await renderOverview() : await renderHelp(entry, parent));
}

interface Found {
	/** Undefined where nothing was named. A group where none of its commands was. */
	readonly entry: Command | CommandGroup | undefined;
	/** What stands before the entry's name: "tok", "tok eval". */
	readonly parent: string;
	/** What follows its name. */
	readonly rest: readonly string[];
}

/** The command that the first words name. Throws a TokError for a word that names none. */
function find(argv: readonly string[]): Found {
	const [name, ...rest] = argv;
	if (name === undefined) return { entry: undefined, parent: "", rest };
	const entry = pick(commands, name, "tok");
	const [inner, ...others] = rest;
	if (!isGroup(entry) || inner === undefined || inner === "--help" || inner === "-h")
		return { entry, parent: "tok", rest };
	const parent = `tok ${name}`;
	return { entry: pick(entry.commands, inner, parent), parent, rest: others };
}

function pick<Entry extends { readonly name: string }>(
	entries: readonly Entry[],
	name: string,
	parent: string,
): Entry {
	const names = entries.map((entry) => entry.name).join(", ");
	return (
		entries.find((entry) => entry.name === name) ??
		fail(`expected a command (${names}), got "${name}". See ${parent} --help.`)
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
