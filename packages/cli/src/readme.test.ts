/** The example that opens the repository's README: it compiles as it stands, and tells a story. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as kvCache from "@tok/kv-cache";
import * as lm from "@tok/lm";
import * as runtimeCpu from "@tok/runtime-cpu";
import ts from "typescript";
import { expect, test } from "vitest";

const root = new URL("../../../", import.meta.url);
const readme = readFileSync(new URL("README.md", root), "utf8");
const [, example = ""] = /```ts\n(.*?)```/s.exec(readme) ?? [];

test("the README's example compiles under the repository's own options", () => {
	expect(example).toContain("loadModel");
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

test.skipIf(process.env.TOK_MODELS === undefined)(
	"the README's example tells a story (needs smollm2-135m below TOK_MODELS)",
	async () => {
		const modules: Record<string, unknown> = {
			"@tok/kv-cache": kvCache,
			"@tok/lm": lm,
			"@tok/runtime-cpu": runtimeCpu,
		};
		const body = example
			.replaceAll(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];")
			.replace('"Once upon a time" }', '"Once upon a time", maxTokens: 12, seed: 1 }')
			.concat("\nsession.dispose();\nawait model.dispose();");
		expect(body).toContain("maxTokens: 12");
		const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;
		let story = "";
		const stdout = {
			write(text: string) {
				story += text;
			},
		};
		await new AsyncFunction("modules", "process", body)(modules, { stdout });
		expect(story.trim().split(/\s+/).length).toBeGreaterThan(4);
	},
);
