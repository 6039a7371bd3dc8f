/**
 * Rows of one run that were read ahead of the stream: its next token, and guesses after it. The stream takes one row
 * after the other, entry by entry, so that its counters are right at any moment; those that it does not take are
 * forgotten with the run. Keys and values of those that it took are written once no more come.
 */
import type { Plan, Write } from "@tok/kv-cache";
import type { ReadRun, StreamRecord } from "./stream-record.ts";

/** Guesses that would need larger buffers are left out, so that what a session allocates does not depend on them. */
export function planGuesses(record: StreamRecord, most: number): Plan {
	const first = record.plan(1);
	for (let count = most; count > 1; count--) {
		const plan = record.plan(count);
		if (plan.segments.every(({ slots }, i) => slots === first.segments[i]?.slots)) return record.cut(plan);
	}
	return record.cut(first);
}

export class GuessedRows {
	readonly #ids: readonly number[];
	readonly #run: ReadRun;
	/** Of the rows that were taken, which are the first ones. */
	readonly #writes: Write[] = [];
	#taken = 0;

	/** @param ids The run's tokens. */
	constructor(ids: readonly number[], run: ReadRun) {
		this.#ids = ids;
		this.#run = run;
	}

	/** Where the rows go that the stream took. */
	get writes(): readonly Write[] {
		return this.#writes;
	}

	/** Takes the next row as the stream's next token. False when none is left. */
	take(record: StreamRecord): boolean {
		const row = this.#taken;
		const id = this.#ids[row];
		if (id === undefined) return false;
		const plan = record.plan(1);
		// Its place is the one that it has in the whole.
		const writes = plan.writes.map((write) => ({ ...write, row: write.row + row }));
		record.follow(this.#run, { ids: [id], row, plan, earlier: this.#writes, writes });
		this.#writes.push(...writes);
		this.#taken++;
		return true;
	}
}
