/**
 * A long run on disk, so that it may take several sittings: two saved sessions, and what was measured on the way. The
 * JSON is written last and names the sessions that belong to it, so a run is resumed whole or not at all.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Session, TokError } from "@tok/lm";
import type { Machine } from "../support/machine.ts";
import { writeJson } from "../support/write-aside.ts";

/** Of the steps since the sample before. */
export interface Sample {
	/** Tokens generated when it was taken. */
	readonly tokens: number;
	/** Median ms per token. */
	readonly milliseconds: number;
	/** Resident bytes. */
	readonly resident: number;
	readonly load: number;
}

/** One process. Memory is only comparable within a sitting. */
export interface Sitting {
	readonly machine: Machine;
	readonly from: number;
	readonly seconds: number;
	readonly samples: readonly Sample[];
}

export interface Checkpoint {
	/** What the run is of: another run does not continue it. */
	readonly subject: Readonly<Record<string, string | number>>;
	readonly tokens: number;
	readonly sittings: readonly Sitting[];
	/** File names of the sessions: at the early point, and where the run is. */
	readonly early: string;
	readonly late: string;
}

const STATE = "run.json";

export class CheckpointFolder {
	readonly #folder: string;

	constructor(folder: string) {
		this.#folder = folder;
	}

	/** Undefined when there is none. Throws when there is one of another run. */
	read(subject: Checkpoint["subject"]): Checkpoint | undefined {
		const path = join(this.#folder, STATE);
		if (!existsSync(path)) return undefined;
		const checkpoint = JSON.parse(readFileSync(path, "utf8")) as Checkpoint;
		const [kept, wanted] = [checkpoint.subject, subject].map((each) => JSON.stringify(each));
		if (kept !== wanted)
			throw new TokError(
				"benchmarks",
				`endurance: expected to go on with ${wanted}, got a run of ${kept}. Pass --fresh.`,
			);
		return checkpoint;
	}

	path(name: string): string {
		return join(this.#folder, name);
	}

	async write(
		state: Omit<Checkpoint, "early" | "late">,
		{ early, late }: { early: Session; late: Session },
	): Promise<void> {
		mkdirSync(this.#folder, { recursive: true });
		const names = { early: "early.tok", late: `at-${state.tokens}.tok` };
		if (!existsSync(this.path(names.early))) await early.save(this.path(names.early));
		await late.save(this.path(names.late));
		writeJson(this.path(STATE), { ...state, ...names });
		const needed = new Set<string>([STATE, names.early, names.late]);
		for (const name of readdirSync(this.#folder)) if (!needed.has(name)) rmSync(this.path(name));
	}

	/** Forgets the run. */
	remove(): void {
		rmSync(this.#folder, { recursive: true, force: true });
	}
}
