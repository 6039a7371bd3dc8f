// `npm start`, `npm run demo` and `npm test` on a machine with nothing but git, Node and npm: installs, builds, then runs.
// Plain Node without dependencies, as it runs before there are any. Each step is one line, and quiet unless it fails.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const windows = process.platform === "win32";
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const demo = join(root, "apps", "demo");
/** The tools' own Node, a dev dependency: the system's may be older than they need. */
const node = join(root, "node_modules", "node", "bin", windows ? "node.exe" : "node");
const stamp = join(root, "node_modules", ".tok-installed");

const story = [
	["--endless"],
	["--model", "smollm2-135m"],
	["--policy", "sink:4,rolling:1020"],
	["--temperature", "0.8"],
	["--top-p", "0.95"],
	["--repetition-penalty", "1.1"],
	// A small model repeats whole paragraphs sooner or later; so long a memory of its words leads it on.
	["--repetition-window", "1024"],
	["--prompt", "Once upon a time, in a small harbour town, there lived an old clockmaker who"],
].flat();

/** Tools start each other by name (turbo starts pnpm, pnpm starts node): the repository's own come first. */
const environment = {
	...process.env,
	PATH: [dirname(node), join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter),
	TURBO_TELEMETRY_DISABLED: "1",
};

/** The process that runs now, and whether Ctrl-C was pressed. */
let child;
let interrupted = false;

for (const signal of ["SIGINT", "SIGTERM"]) {
	process.on(signal, () => {
		interrupted = true;
		// A terminal has told the child as well; whoever signals this process alone has not.
		setTimeout(() => child?.kill(signal), 150).unref();
		setTimeout(() => child?.kill("SIGKILL"), 3000).unref();
		if (child === undefined) process.exit(130);
	});
}

await main(process.argv[2], process.argv.slice(3));

async function main(command, extra) {
	if (!["start", "test", "demo"].includes(command)) stop(`expected start, test or demo, got ${command}.`);
	checkNode();
	await install();
	// Its server reads the sources: nothing has to be built.
	if (command === "demo")
		await finish(node, ["--conditions=@tok/source", vite(), "--configLoader", "native", ...extra], {}, demo);
	await step("Building", node, [bin("turbo"), "run", "build", "--output-logs=errors-only"]);
	const tok = join(root, "packages", "cli", "bin", "tok.js");
	if (command === "start") await finish(node, [tok, "generate", ...story, ...extra]);
	await finish(node, [bin("vitest"), "run", ...extra], await models(tok));
}

function checkNode() {
	const least = manifest.engines.node.replace(/[^\d.]/g, "");
	const [major, minor] = least.split(".").map(Number);
	const [ownMajor, ownMinor] = process.versions.node.split(".").map(Number);
	if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return;
	stop(
		`Node ${least} or newer is needed, this is ${process.versions.node}. Install it from https://nodejs.org.`,
	);
}

/** Installs when there is nothing yet, or when the lock file is another one than last time. */
async function install() {
	const lock = createHash("sha256")
		.update(readFileSync(join(root, "pnpm-lock.yaml")))
		.digest("hex");
	if (existsSync(node) && existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
	const args = ["--yes", manifest.packageManager, "install", "--frozen-lockfile"];
	// npm says where it lies; beside it lies npx, which can be started without a shell.
	const npx = environment.npm_execpath && join(dirname(environment.npm_execpath), "npx-cli.js");
	if (npx && existsSync(npx)) await step("Installing", process.execPath, [npx, ...args]);
	else await step("Installing", windows ? "npx.cmd" : "npx", args, { shell: windows });
	writeFileSync(stamp, lock);
}

/** The script behind a package's command, to be run with the tools' Node. */
function bin(name) {
	const folder = join(root, "node_modules", name);
	const { bin: entry } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
	return join(folder, typeof entry === "string" ? entry : entry[name]);
}

/** The demo's own dev server. */
function vite() {
	return join(demo, "node_modules", "vite", "bin", "vite.js");
}

/** The environment in which tests find the real model: where TOK_MODELS says, else fetched into the cache. */
async function models(tok) {
	if (process.env.TOK_MODELS) return {};
	const path = await step("Fetching smollm2-135m", node, [tok, "pull", "smollm2-135m"], { optional: true });
	return path ? { TOK_MODELS: dirname(dirname(path)) } : {};
}

/**
 * Runs a step, showing one line, and its output when it fails. Returns what it wrote to standard output.
 * An optional step that fails is said so, and the next one follows.
 */
async function step(label, command, args, { shell = false, optional = false } = {}) {
	const live = process.stderr.isTTY === true;
	const begun = performance.now();
	process.stderr.write(live ? `${label} …` : `${label}\n`);
	const { code, stdout, output } = await run(command, args, {
		shell,
		stdio: ["ignore", "pipe", "pipe"],
		env: environment,
	});
	if (live) process.stderr.write("\r\x1b[K");
	if (interrupted) process.exit(130);
	if (code === 0) {
		const seconds = (performance.now() - begun) / 1000;
		if (live && seconds > 1) process.stderr.write(`${label} took ${seconds.toFixed(1)} s\n`);
		return stdout.trim();
	}
	if (!optional) stop(`${label} failed (${[command, ...args].join(" ")}):\n${output.trim()}`);
	process.stderr.write(`${label} failed; what needs it is skipped.\n${output.trim()}\n`);
	return "";
}

/** Runs the last command on the terminal itself and ends with its exit code. */
async function finish(command, args, env = {}, cwd = root) {
	const { code } = await run(command, args, { stdio: "inherit", cwd, env: { ...process.env, ...env } });
	process.exit(interrupted ? 130 : code);
}

function run(command, args, options) {
	return new Promise((done) => {
		let stdout = "";
		let output = "";
		child = spawn(command, args, { cwd: root, windowsHide: true, ...options });
		child.stdout?.on("data", (bytes) => {
			stdout += bytes;
			output += bytes;
		});
		child.stderr?.on("data", (bytes) => {
			output += bytes;
		});
		const end = (code, text = "") => {
			child = undefined;
			done({ code, stdout, output: output + text });
		};
		child.on("error", (error) => end(1, error.message));
		child.on("close", (code, signal) => end(code ?? (signal === "SIGINT" ? 130 : 1)));
	});
}

function stop(message) {
	process.stderr.write(`${message}\n`);
	process.exit(1);
}
