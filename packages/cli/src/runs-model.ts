/** The commands that run a model, known before any command is imported. */
const names: ReadonlySet<string | undefined> = new Set(["generate", "chat", "read", "perplexity", "eval"]);

/** @param argv the arguments without the program's name. */
export function runsModel(argv: readonly string[]): boolean {
	return names.has(argv[0]) && !argv.includes("--help") && !argv.includes("-h");
}
