/** What a figure was measured on, to stand beside it. */
import { execFileSync } from "node:child_process";
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from "node:os";

export interface Machine {
	/** ISO 8601. */
	readonly date: string;
	readonly processor: string;
	readonly cores: number;
	/** Bytes. */
	readonly memory: number;
	readonly platform: string;
	readonly node: string;
	/** Settings of the C library (GLIBC_TUNABLES): whether it asks for huge pages. */
	readonly tunables: string | undefined;
	/** Commit of this repository, with "+" when files differ from it; undefined outside git. */
	readonly commit: string | undefined;
	/** Processes that wanted to run, averaged over the last minute, before the measurement began. */
	readonly load: number;
}

export function describeMachine(): Machine {
	return {
		date: new Date().toISOString(),
		processor: cpus()[0]?.model ?? "unknown",
		cores: availableParallelism(),
		memory: totalmem(),
		platform: `${platform()}-${arch()}`,
		node: process.version,
		tunables: process.env.GLIBC_TUNABLES || undefined,
		commit: commit(),
		load: currentLoad(),
	};
}

export function currentLoad(): number {
	return loadavg()[0] as number;
}

export function formatMachine(machine: Machine): string {
	const { date, processor, cores, memory, platform, node, tunables, commit } = machine;
	const gibibytes = Math.round(memory / 2 ** 30);
	return [
		processor,
		`${cores} cores`,
		`${gibibytes} GiB`,
		platform,
		`Node ${node}`,
		...(tunables === undefined ? [] : [tunables]),
		`commit ${commit ?? "unknown"}`,
		`${date.slice(0, 16).replace("T", " ")} UTC`,
	].join(", ");
}

/** For measurements that were taken one after another, perhaps over days: the first, and the loads of all. */
export function formatMachines(machines: readonly [Machine, ...Machine[]]): string {
	const loads = machines.map(({ load }) => load);
	return `${formatMachine(machines[0])}; load before each measurement ${Math.min(...loads).toFixed(1)}–${Math.max(...loads).toFixed(1)}`;
}

function commit(): string | undefined {
	try {
		const git = (...args: string[]): string =>
			execFileSync("git", args, {
				cwd: import.meta.dirname,
				encoding: "utf8",
				stdio: ["ignore", "pipe", "ignore"],
			});
		const changed = git("status", "--porcelain", "--untracked-files=no", ":/packages").trim() !== "";
		return git("rev-parse", "--short", "HEAD").trim() + (changed ? "+" : "");
	} catch {
		return undefined;
	}
}
