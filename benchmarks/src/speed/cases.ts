/** The cases of the comparison, and how one case is run once on one side. */
import { rmSync } from "node:fs";
import type { EngineName, EngineOptions } from "./engine.ts";
import { EngineProcess, type Memory } from "./engine-process.ts";

export interface Case {
	readonly name: string;
	readonly unit: "tokens/s" | "ms" | "MB";
	/** Higher is better for speeds, lower for times and sizes. */
	readonly better: "higher" | "lower";
}

/** A case that is timed inside a process that has the model loaded. */
export interface SpeedCase extends Case {
	run(engine: EngineProcess): Promise<number>;
}

export function speedCases(ids: readonly number[], steps: number): SpeedCase[] {
	const prefill = (window: number): SpeedCase => ({
		name: `prefill of ${window.toLocaleString("en")} tokens`,
		unit: "tokens/s",
		better: "higher",
		run: async (engine) => {
			const milliseconds = await engine.ask("prefill", { ids: ids.slice(0, window), window });
			return (window / milliseconds) * 1000;
		},
	});
	const decode = (window: number): SpeedCase => ({
		name: `decode, window of ${window.toLocaleString("en")} full`,
		unit: "tokens/s",
		better: "higher",
		run: async (engine) => {
			const times = await engine.ask("decode", { ids: ids.slice(0, window), window, steps });
			return (steps / times.reduce((sum, time) => sum + time, 0)) * 1000;
		},
	});
	const together = (streams: number): SpeedCase => ({
		name: `${streams} streams at once, windows of 256 full, total`,
		unit: "tokens/s",
		better: "higher",
		run: async (engine) => {
			const each = Math.max(8, Math.round(steps / 2));
			const milliseconds = await engine.ask("decodeTogether", {
				ids: [...ids],
				window: 256,
				streams,
				steps: each,
			});
			return ((streams * each) / milliseconds) * 1000;
		},
	});
	return [prefill(256), prefill(1024), decode(256), decode(1024), together(8), together(32)];
}

export const startCases = {
	cold: { name: "first start to first token, nothing prepared", unit: "ms", better: "lower" },
	coldPeak: { name: "peak memory of a first start", unit: "MB", better: "lower" },
	firstToken: { name: "second start to first token", unit: "ms", better: "lower" },
	steady: { name: "resident memory, window of 256 full", unit: "MB", better: "lower" },
	peak: { name: "peak memory of a second start", unit: "MB", better: "lower" },
} as const satisfies Record<string, Case>;

/** A short prompt, as a user's first one is. */
const PROMPT = 16;
const WINDOW = 256;

/**
 * Starts a process where nothing is prepared and waits for its first token; then another, which finds what the first
 * has left, fills a window of 256 too, and is asked for its memory.
 */
export async function runStarts(
	name: EngineName,
	options: EngineOptions,
	ids: readonly number[],
	steps: number,
): Promise<Record<keyof typeof startCases, number>> {
	rmSync(options.prepared, { recursive: true, force: true });
	const first = await runStart(name, options, ids, async (engine) => engine.ask("memory", null));
	const second = await runStart(name, options, ids, async (engine) => {
		await engine.ask("decode", { ids: ids.slice(0, WINDOW), window: WINDOW, steps });
		return engine.ask("memory", null);
	});
	return {
		cold: first.firstToken,
		coldPeak: first.memory.peak / 1e6,
		firstToken: second.firstToken,
		steady: second.memory.resident / 1e6,
		peak: second.memory.peak / 1e6,
	};
}

async function runStart(
	name: EngineName,
	options: EngineOptions,
	ids: readonly number[],
	after: (engine: EngineProcess) => Promise<Memory>,
): Promise<{ readonly firstToken: number; readonly memory: Memory }> {
	const begun = performance.now();
	const engine = new EngineProcess(name, options);
	try {
		await engine.ask("prefill", { ids: ids.slice(0, PROMPT), window: WINDOW });
		const firstToken = performance.now() - begun;
		return { firstToken, memory: await after(engine) };
	} finally {
		await engine.close();
	}
}
