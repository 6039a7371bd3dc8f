import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { environmentForHugePages } from "./huge-pages.ts";

let folder: string;
const modes = (setting: string): string => {
	const path = join(folder, setting.replaceAll(/\W/g, "-"));
	writeFileSync(path, `${setting}\n`);
	return path;
};
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-pages-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const asking = "always [madvise] never";

test.each<[string, Parameters<typeof environmentForHugePages>[0] & { setting?: string }, string | undefined]>(
	[
		["where they are for those who ask", { env: {} }, "glibc.malloc.hugetlb=1"],
		["other tunables stay", { env: { GLIBC_TUNABLES: "a=1" } }, "a=1:glibc.malloc.hugetlb=1"],
		["the user's own value stays", { env: { GLIBC_TUNABLES: "glibc.malloc.hugetlb=0" } }, undefined],
		["where all have them", { env: {}, setting: "[always] madvise never" }, undefined],
		["where nobody has", { env: {}, setting: "always madvise [never]" }, undefined],
		["elsewhere than on Linux", { env: {}, platform: "darwin" }, undefined],
		["where Linux does not say", { env: {}, modes: "/nowhere" }, undefined],
	],
)("the environment: %s", (_name, { setting = asking, ...options }, tunables) => {
	const env = environmentForHugePages({ platform: "linux", modes: modes(setting), ...options });
	expect(env?.GLIBC_TUNABLES).toBe(tunables);
});

test("the rest of the environment stays", () => {
	const env = { PATH: "/bin" };
	expect(environmentForHugePages({ platform: "linux", env, modes: modes(asking) })).toMatchObject(env);
});

/** What a process says that asks for them: one number throughout. */
function start(env: NodeJS.ProcessEnv): readonly string[] {
	const source = JSON.stringify(new URL("huge-pages.ts", import.meta.url).href);
	const script = join(folder, "script.mjs");
	writeFileSync(
		script,
		`import { restartWithHugePages } from ${source};
		process.stdout.write("began ");
		restartWithHugePages({ modes: ${JSON.stringify(modes(asking))} });
		const [, , ...args] = process.argv;
		process.stdin.on("data", (data) => {
			console.log([process.env.GLIBC_TUNABLES, ...args, ...process.execArgv, data, process.pid].join(" "));
		});`,
	);
	const { status, stdout, stderr, pid } = spawnSync(
		process.execPath,
		["--stack-size=900", "--disable-warning=ExperimentalWarning", script, "one", "two words"],
		{ env: { ...process.env, ...env }, encoding: "utf8", input: "what it is told" },
	);
	expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
	const [number, ...rest] = stdout.trim().split(" ").toReversed();
	expect(number).toBe(String(pid));
	return rest.toReversed();
}

const canRestart = process.platform === "linux" && process.execve !== undefined;

test.runIf(canRestart)("a process begins once more, with its arguments and what it is told", () => {
	expect(start({ GLIBC_TUNABLES: "" }).join(" ")).toBe(
		"began began glibc.malloc.hugetlb=1 one two words --stack-size=900 " +
			"--disable-warning=ExperimentalWarning what it is told",
	);
});

test.runIf(canRestart)("and not where it was told otherwise", () => {
	expect(start({ GLIBC_TUNABLES: "glibc.malloc.hugetlb=0" }).slice(0, 3)).toEqual([
		"began",
		"glibc.malloc.hugetlb=0",
		"one",
	]);
});
