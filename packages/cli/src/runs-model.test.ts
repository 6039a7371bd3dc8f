import { expect, test } from "vitest";
import { isGroup } from "./command.ts";
import { commands } from "./run.ts";
import { runsModel } from "./runs-model.ts";

test.each(commands.map((entry) => [entry.name, entry] as const))(
	"%s runs a model if it takes --threads",
	(name, entry) => {
		const takesThreads = (isGroup(entry) ? entry.commands : [entry]).map(({ args }) => "threads" in args);
		expect(new Set(takesThreads)).toEqual(new Set([runsModel([name, "--prompt", "x"])]));
		expect(runsModel([name, "--help"])).toBe(false);
	},
);

test("nothing else does", () => {
	expect([[], ["--version"], ["generat"]].map(runsModel)).toEqual([false, false, false]);
});
