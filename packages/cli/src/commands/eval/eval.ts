/** `tok eval`: what a policy remembers, and what it costs, measured. */
import type { CommandGroup } from "../../command.ts";
import { compare, perplexity } from "./compare.ts";
import { heads } from "./heads.ts";
import { needle } from "./needle.ts";
import { streamEval } from "./stream-eval.ts";

export const evaluate: CommandGroup = {
	name: "eval",
	description: "Measure what a cache policy remembers: needle, streameval, perplexity, compare, heads",
	commands: [needle, streamEval, perplexity, compare, heads],
};
