// `npm run check:packed`: packs every package, installs the tarballs into an empty folder with npm, and uses them
// there as a stranger would: with the oldest Node at hand and nothing of this repository. Asks the registry for
// what the packages depend on.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "tok-packed-"));
const consumer = join(scratch, "consumer");
/** The Node that npm runs on: the system's, where the repository's own tools bring a newer one. */
const node = process.env.npm_node_execpath ?? process.execPath;

try {
	const packages = readdirSync(join(root, "packages")).map(pack);
	mkdirSync(consumer);
	install(packages);
	const version = run(node, ["--version"], consumer).trim();
	const specifiers = packages.flatMap(({ manifest }) => entries(manifest));
	for (const specifier of specifiers) importNames(specifier);
	const examples = ["rope", "kv-cache", "graph", "runtime", "runtime-cpu"].map(runExample);
	assert.match(
		run(node, [join(consumer, "node_modules", "@tok", "cli", "bin", "tok.js"), "--help"]),
		/generate/,
	);
	checkTypes(specifiers);
	console.log(
		`${packages.length} packages packed, installed and imported with Node ${version}; ` +
			`${examples.reduce((sum, lines) => sum + lines)} lines of README examples printed what they say.`,
	);
} finally {
	rmSync(scratch, { recursive: true });
}

/** Packs one package and checks what is in it: what a user needs, and nothing that only tests need. */
function pack(name) {
	const folder = join(root, "packages", name);
	run("pnpm", ["pack", "--pack-destination", scratch], folder);
	const tarball = join(
		scratch,
		readdirSync(scratch).find((file) => file.startsWith(`tok-${name}-0`)) ?? name,
	);
	const files = run("tar", ["-tzf", tarball], scratch).trim().split("\n");
	for (const file of [
		"package.json",
		"README.md",
		"LICENSE",
		"dist/index.js",
		"dist/index.d.ts",
		"src/index.ts",
	]) {
		assert(files.includes(`package/${file}`), `${name}: the tarball lacks ${file}`);
	}
	const stray = files.filter((file) => /\.test\.|\/testing\/|\/fixtures\/|\.turbo|tsconfig|tsup/.test(file));
	assert.deepEqual(stray, [], `${name}: the tarball holds files that are not for users`);
	const manifest = JSON.parse(run("tar", ["-xzOf", tarball, "package/package.json"], scratch));
	const ranges = Object.entries(manifest.dependencies ?? {}).filter(([, range]) =>
		range.includes("workspace:"),
	);
	assert.deepEqual(ranges, [], `${name}: ranges that mean nothing outside the workspace`);
	return { name, tarball, manifest };
}

/** Unpublished siblings come from their tarballs, everything else from the registry. */
function install(packages) {
	const dependencies = Object.fromEntries(packages.map((p) => [p.manifest.name, `file:${p.tarball}`]));
	const manifest = { private: true, type: "module", dependencies, overrides: dependencies };
	writeFileSync(join(consumer, "package.json"), JSON.stringify(manifest));
	const npm = process.env.npm_execpath;
	assert(npm, "start this with npm run check:packed");
	run(node, [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], consumer);
}

/** What can be imported: "@tok/graph", "@tok/graph/blocks". */
function entries({ name, exports }) {
	return Object.keys(exports)
		.filter((path) => !path.endsWith(".json"))
		.map((path) => name + path.slice(1));
}

function importNames(specifier) {
	const count = `console.log(Object.keys(await import("${specifier}")).length)`;
	const printed = Number(run(node, ["--input-type=module", "--eval", count], consumer));
	assert(printed > 0, `${specifier} exports nothing`);
}

/** Runs a README's first example as it stands; returns how many lines it printed, all of them as it says. */
function runExample(name) {
	const readme = readFileSync(join(consumer, "node_modules", "@tok", name, "README.md"), "utf8");
	const source = /```[jt]s\n(.*?)```/s.exec(readme)?.[1] ?? "";
	const mark = source.includes("// → ") ? /\/\/ → (.*)/g : /console\.log.*\); \/\/ (.*)/g;
	const expected = [...source.matchAll(mark)].map(([, text]) => text);
	assert(expected.length > 0, `${name}: README.md has no example`);
	const show =
		'const show = (value) => (typeof value === "string" ? value : JSON.stringify(value));\n' +
		'console.log = (...values) => process.stdout.write(values.map(show).join(" ") + "\\n");\n';
	const file = join(consumer, `${name}.mjs`);
	writeFileSync(file, show + source);
	assert.deepEqual(run(node, [file], consumer).trim().split("\n"), expected, `${name}: README.md's example`);
	return expected.length;
}

/** The published declarations, all of them, as a strict project sees them. */
function checkTypes(specifiers) {
	writeFileSync(
		join(consumer, "all.ts"),
		specifiers.map((specifier, i) => `export * as p${i} from "${specifier}";\n`).join(""),
	);
	const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
	const types = join(root, "node_modules", "@types");
	const options = "--noEmit --strict --module nodenext --target es2023 --types node --typeRoots";
	run(process.execPath, [tsc, ...options.split(" "), types, "all.ts"], consumer);
}

function run(command, args, cwd = root) {
	const { status, stdout, stderr, error } = spawnSync(command, args, {
		cwd,
		encoding: "utf8",
		shell: process.platform === "win32" && command === "pnpm",
	});
	if (status === 0) return stdout;
	throw new Error(`${[command, ...args].join(" ")} failed:\n${error ?? ""}${stdout}${stderr}`);
}
