/**
 * The examples that open the READMEs of the repository, @tok/lm and @tok/eval, and those of @tok/lm for compressors and for
 * browsers, compile as they stand, and all but the last do what they say; @tok/eval runs its own.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as kvCache from "@tok/kv-cache";
import * as lm from "@tok/lm";
import * as runtimeCpu from "@tok/runtime-cpu";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = new URL("../../../", import.meta.url);

function exampleOf(readme: string, index = 0): string {
	const text = readFileSync(new URL(readme, root), "utf8");
	const example = [...text.matchAll(/```ts\n(.*?)```/gs)][index]?.[1];
	if (example === undefined) throw new Error(`${readme} has no ts example ${index}`);
	return example;
}

const opening = exampleOf("README.md");
const tour = exampleOf("packages/lm/README.md");
const compressors = exampleOf("packages/lm/README.md", 1);

test.for([
	["README.md", opening],
	["packages/lm/README.md", tour],
	["packages/lm/README.md, compressors", compressors],
	["packages/lm/README.md, in a browser", exampleOf("packages/lm/README.md", 2)],
	["packages/eval/README.md", exampleOf("packages/eval/README.md")],
] as const)("the example of %s compiles under the repository's own options", ([, example]) => {
	const configPath = fileURLToPath(new URL("tsconfig.test.json", root));
	const { options } = ts.parseJsonConfigFileContent(
		ts.readConfigFile(configPath, ts.sys.readFile).config,
		ts.sys,
		fileURLToPath(root),
	);
	// Where the example would lie in a package that depends on what it imports.
	const path = fileURLToPath(new URL("packages/cli/src/readme-example.ts", root));
	const host = ts.createCompilerHost(options);
	const { fileExists, readFile, getSourceFile } = host;
	host.fileExists = (name) => name === path || fileExists(name);
	host.readFile = (name) => (name === path ? example : readFile(name));
	host.getSourceFile = (name, ...rest) =>
		name === path ? ts.createSourceFile(name, example, ts.ScriptTarget.ES2023) : getSourceFile(name, ...rest);
	const program = ts.createProgram([path], options, host);
	const source = program.getSourceFile(path);
	const problems = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
	expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))).toEqual([]);
});

/** Runs an example's text; gives what it writes to standard output, and its lines of `console.log`. */
async function run(example: string): Promise<{ story: string; lines: string[] }> {
	const modules: Record<string, unknown> = {
		"@tok/kv-cache": kvCache,
		"@tok/lm": lm,
		"@tok/runtime-cpu": runtimeCpu,
	};
	const body = example.replaceAll(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];");
	const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;
	const lines: string[] = [];
	let story = "";
	const stdout = {
		write(text: string) {
			story += text;
		},
	};
	const log = (...values: unknown[]) => lines.push(values.join(" "));
	await new AsyncFunction("modules", "process", "console", body)(modules, { stdout }, { log });
	return { story, lines };
}

const printed = (example: string): (string | undefined)[] =>
	[...example.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);

describe.skipIf(process.env.TOK_MODELS === undefined)("needs smollm2-135m below TOK_MODELS", () => {
	test("README.md's example tells a story, here a short one", async () => {
		const short = opening.replace('"Once upon a time" }', '"Once upon a time", maxTokens: 12, seed: 1 }');
		expect(short).not.toBe(opening);
		const { story } = await run(`${short}\nsession.dispose();\nawait model.dispose();`);
		expect(story.trim().split(/\s+/).length).toBeGreaterThan(4);
	});

	test("packages/lm/README.md's example prints what it says", async () => {
		const folder = mkdtempSync(join(tmpdir(), "tok-readme-"));
		try {
			const files = tour.replaceAll(/"(\w+\.tok\w*)"/g, (_, name: string) =>
				JSON.stringify(join(folder, name)),
			);
			const { story, lines } = await run(files);
			expect(lines).toEqual(printed(tour));
			expect(story).not.toBe("");
		} finally {
			rmSync(folder, { recursive: true });
		}
	});

	test("packages/lm/README.md's compressor does what it says", async () => {
		expect((await run(compressors)).lines).toEqual(printed(compressors));
	});
});
