/** `tok eval`: what a policy remembers, and what it costs, measured. */
import type { CommandGroup } from "../../command.ts";
import { needle } from "./needle.ts";

export const evaluate: CommandGroup = {
	name: "eval",
	description: "Measure what a cache policy remembers, and what it costs: needle",
	commands: [needle],
};
