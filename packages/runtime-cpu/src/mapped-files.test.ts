/** Values of archives in files: where they lie, what becomes of them, and what happens when there is no room. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KvShape, TokError } from "@tok/runtime";
import { conformance } from "@tok/runtime/conformance";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cpu } from "./cpu.ts";

/** 64 bytes of keys and as many of values in a slot of an archive behind a window. */
const shape: KvShape = {
	layers: 1,
	kvHeads: 1,
	headDim: 16,
	slots: [100, 4],
	kinds: [{ sparseValues: true }],
};

let folder: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-values-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Where no folder can be, whoever the user is. */
function noFolder(): string {
	const file = join(folder, "a file");
	writeFileSync(file, "");
	return join(file, "values");
}

describe("the conformance suite with values on disk", () => {
	test.each(conformance)("$id: $title", ({ run }) =>
		run(() => cpu({ threads: 1, disk: join(folder, "conformance") })),
	);
	test("no file has a name", () => expect(readdirSync(join(folder, "conformance"))).toEqual([]));
});

describe("where no file can be written", () => {
	test.each(conformance)("$id: $title", ({ run }) =>
		run(() => cpu({ threads: 1, disk: noFolder(), onDiskFailure: () => {} })),
	);

	test("it is said once, and values lie in memory", async () => {
		const told: TokError[] = [];
		await using runtime = cpu({ threads: 1, disk: noFolder(), onDiskFailure: (error) => told.push(error) });
		expect(runtime.valuesOnDisk).toBe(false);
		const store = runtime.createKvStore(shape);
		store.fork().grow(0, 200);
		expect(store.diskBytes).toBe(0);
		expect(told).toHaveLength(1);
		expect(TokError.isInstance(told[0])).toBe(true);
		expect(told[0]?.message).toMatch(
			/^\[tok\/runtime-cpu\] disk: expected to write files into .*, got ENOTDIR.* kept in memory from here on\./,
		);
	});

	test.skipIf(!existsSync("/proc/self"))(
		"a folder that the system does not make is an error like any other",
		async () => {
			const told: string[] = [];
			await using runtime = cpu({
				disk: "/proc/nowhere",
				onDiskFailure: ({ message }) => told.push(message),
			});
			expect(runtime.valuesOnDisk).toBe(false);
			expect(told).toEqual([expect.stringContaining("got ENOENT")]);
		},
	);

	test("a folder that is gone later is said then", async () => {
		const told: TokError[] = [];
		const disk = join(folder, "gone");
		await using runtime = cpu({ threads: 1, disk, onDiskFailure: (error) => told.push(error) });
		const store = runtime.createKvStore(shape);
		expect([runtime.valuesOnDisk, store.diskBytes]).toEqual([true, 6400]);
		rmSync(disk, { recursive: true });
		const rows = Float32Array.from({ length: 32 }, (_, i) => i);
		await store.writeSlots(0, 99, rows);
		store.grow(0, 200);
		expect([runtime.valuesOnDisk, store.diskBytes, told.length]).toEqual([false, 0, 1]);
		expect(await store.readSlots(0, 99, 1)).toEqual(rows);
	});
});

test("the memory limit counts what lies in memory, and what comes to lie there", async () => {
	const needed = 2 * 4 * 64 + 100 * 64;
	const disk = join(folder, "limited");
	await using runtime = cpu({ threads: 1, memoryLimit: needed, disk, onDiskFailure: () => {} });
	const refused = `[tok/runtime-cpu] expected key/value stores that fit into ${needed} bytes of memory, got `;
	const store = runtime.createKvStore(shape);
	expect([store.bytes, store.diskBytes]).toEqual([needed + 6400, 6400]);
	expect(() => store.grow(0, 101)).toThrow(`${refused}${needed + 64} bytes.`);
	store.dispose();
	const small = runtime.createKvStore({ ...shape, slots: [90, 4] });
	rmSync(disk, { recursive: true });
	// The values that it has come to memory as well.
	expect(() => small.grow(0, 91)).toThrow(`${refused}${2 * 4 * 64 + 2 * 91 * 64} bytes.`);
	expect([small.shape.slots[0], small.diskBytes]).toEqual([90, 5760]);
	small.dispose();
	expect(() => runtime.createKvStore(shape)).toThrow(`${refused}${needed + 6400} bytes.`);
	// What was made for it is gone.
	expect(runtime.createKvStore({ ...shape, slots: [50, 4] }).bytes).toBe(needed);
});

// What a process has mapped, Linux alone tells; Node 20 leaves mappings to the garbage collector.
const mapped = (): number =>
	readFileSync("/proc/self/maps", "utf8").match(/tok-[\w-]*\.values/g)?.length ?? 0;
test.skipIf(!existsSync("/proc/self/maps") || !("transfer" in ArrayBuffer.prototype))(
	"files are mapped for as long as their stores are there",
	async () => {
		const before = mapped();
		await using runtime = cpu({ threads: 1, disk: join(folder, "mapped") });
		const store = runtime.createKvStore(shape);
		expect(mapped()).toBe(before + 1);
		const fork = store.fork();
		store.grow(0, 1000);
		expect(mapped()).toBe(before + 2);
		store.dispose();
		expect(mapped()).toBe(before + 1);
		fork.dispose();
		expect(mapped()).toBe(before);
	},
);

/** Standard output and error of a process that runs `source`, in which `cpu` and `shape` are known. */
function inProcess(name: string, source: string, { limit = "unlimited", flags = [] as string[] } = {}) {
	const module = JSON.stringify(new URL("cpu.ts", import.meta.url).href);
	const script = join(folder, `${name}.mjs`);
	writeFileSync(
		script,
		`import { cpu } from ${module};
		const shape = ${JSON.stringify({ ...shape, slots: [1000, 4] })};
		${source}`,
	);
	const { status, stdout, stderr } = spawnSync(
		"/bin/bash",
		[
			"-c",
			`ulimit -f ${limit}; exec "$@"`,
			"bash",
			process.execPath,
			"--conditions=@tok/source",
			...flags,
			script,
		],
		{ encoding: "utf8", cwd: folder, env: { ...process.env, NODE_OPTIONS: "" } },
	);
	expect({ status, stderr }).toMatchObject({ status: 0 });
	return { stdout, stderr };
}

test.skipIf(process.platform === "win32")("a disk without room is said, and the process goes on", () => {
	// No file may be larger than 256 KiB: half of what the larger store needs.
	const { stdout, stderr } = inProcess(
		"full",
		`const runtime = cpu({ threads: 1, disk: "full" });
		const store = runtime.createKvStore(shape);
		console.log(store.diskBytes);
		await store.writeSlots(0, 999, Float32Array.from({ length: 32 }, (_, i) => i));
		store.grow(0, 10_000);
		const [, last] = await store.readSlots(0, 999, 1);
		console.log(store.diskBytes, last);
		await runtime.dispose();`,
		{ limit: "256" },
	);
	expect(stdout).toBe("64000\n0 1\n");
	expect(stderr).toContain("[tok/runtime-cpu] disk: expected to write files into");
});

test.skipIf(process.platform === "win32")(
	"a folder stays where it was when the process goes elsewhere",
	() => {
		const { stdout, stderr } = inProcess(
			"elsewhere",
			`const runtime = cpu({ threads: 1, disk: "here" });
		process.chdir("/");
		console.log(runtime.createKvStore(shape).diskBytes);
		await runtime.dispose();`,
		);
		expect({ stdout, stderr }).toEqual({ stdout: "64000\n", stderr: "" });
	},
);

test.skipIf(!existsSync("/proc/self/maps"))(
	"files of stores and runtimes that nobody disposed go with the garbage",
	() => {
		const { stdout } = inProcess(
			"forgotten",
			`import { readFileSync } from "node:fs";
		import { setTimeout } from "node:timers/promises";
		const mapped = () => readFileSync("/proc/self/maps", "utf8").match(/tok-[\\w-]*\\.values/g)?.length ?? 0;
		for (let i = 0; i < 10; i++) cpu({ threads: 1, disk: "forgotten values" }).createKvStore(shape);
		console.log(mapped());
		for (let i = 0; i < 10 && mapped() > 0; i++) {
			gc();
			await setTimeout(10);
		}
		console.log(mapped());`,
			{ flags: ["--expose-gc"] },
		);
		expect(stdout).toBe("10\n0\n");
	},
);
