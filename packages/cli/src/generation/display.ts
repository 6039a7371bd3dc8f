/**
 * Where generated text goes: a story under a status line on a terminal, plain text into a pipe (with the status on
 * standard error when that is a terminal), or nowhere until the end, with --json.
 */
import type { SessionStats } from "@tok/lm";
import { type Io, write } from "../io.ts";
import { formatBytes, formatCache, formatCount, formatRate, rate } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { StoryScreen } from "../terminal/story-screen.ts";

export interface Display {
	/** The prompt is being read: so many of so many tokens. */
	reading(read: number, total: number): void;
	/** A token was generated; resolves when its text is written. */
	token(text: string): Promise<void>;
	/** Text that is not counted as a token: the prompt. */
	text(text: string): Promise<void>;
	/** What is worth knowing at the end; for a terminal only. Closes. */
	end(summary: string): void;
	/** Takes the status line away. More than once does no harm. */
	close(): void;
}

/** Milliseconds between two drawings of the status. */
const interval = 100;

export function createDisplay(
	io: Io,
	{ quiet }: { readonly quiet: boolean },
	stats: () => SessionStats,
): Display {
	const dumb = io.env.TERM === "dumb";
	if (!quiet && io.stdout.isTTY === true && !dumb) return new StoryDisplay(io, stats);
	return new PlainDisplay(io, quiet, stats);
}

class StoryDisplay implements Display {
	readonly #io: Io;
	readonly #screen: StoryScreen;
	readonly #status: Status;
	#closed = false;

	constructor(io: Io, stats: () => SessionStats) {
		this.#io = io;
		this.#screen = new StoryScreen(io.stdout, { color: !io.env.NO_COLOR });
		this.#status = new Status(stats);
	}

	reading(read: number, total: number): void {
		this.#screen.setStatus([`Reading ${formatCount(read)} of ${formatCount(total)} tokens`]);
	}

	async text(text: string): Promise<void> {
		await this.#write(text);
	}

	async token(text: string): Promise<void> {
		await this.#write(text);
		const parts = this.#status.tick();
		if (parts !== undefined) this.#screen.setStatus(parts);
	}

	end(summary: string): void {
		this.close();
		this.#io.stderr.write(`${summary}\n`);
	}

	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#screen.close();
	}

	async #write(text: string): Promise<void> {
		if (this.#screen.write(text)) return;
		await write(this.#io.stdout, "");
	}
}

class PlainDisplay implements Display {
	readonly #io: Io;
	readonly #quiet: boolean;
	readonly #line: ProgressLine;
	readonly #status: Status;
	#endsLine = true;

	constructor(io: Io, quiet: boolean, stats: () => SessionStats) {
		this.#io = io;
		this.#quiet = quiet;
		this.#line = new ProgressLine(io.stderr, io.env);
		this.#status = new Status(stats);
	}

	reading(read: number, total: number): void {
		this.#line.message(`Reading ${formatCount(read)} of ${formatCount(total)} tokens`);
	}

	/** A pipe gets what was generated and nothing else. */
	async text(): Promise<void> {}

	async token(text: string): Promise<void> {
		if (!this.#quiet && text !== "") {
			this.#endsLine = text.endsWith("\n");
			await write(this.#io.stdout, text);
		}
		const parts = this.#status.tick();
		if (parts !== undefined) this.#line.message(parts.join(" · "));
	}

	end(summary: string): void {
		this.close();
		if (!this.#quiet && this.#io.stderr.isTTY === true) this.#io.stderr.write(`${summary}\n`);
	}

	close(): void {
		this.#line.clear();
		if (!this.#endsLine) this.#io.stdout.write("\n");
		this.#endsLine = true;
	}
}

/** Counts tokens and words the status, a few times a second. */
class Status {
	readonly #stats: () => SessionStats;
	/** Times and counts of the last drawings: the speed shown is that of the last two seconds. */
	readonly #recent: { readonly time: number; readonly tokens: number }[] = [];
	#tokens = 0;

	constructor(stats: () => SessionStats) {
		this.#stats = stats;
	}

	/** Counts one token; the parts of the status, most telling first, when it is time to draw. */
	tick(): readonly string[] | undefined {
		this.#tokens++;
		const time = performance.now();
		if (time - (this.#recent.at(-1)?.time ?? Number.NEGATIVE_INFINITY) < interval) return undefined;
		this.#recent.push({ time, tokens: this.#tokens });
		if (this.#recent.length > 2000 / interval) this.#recent.shift();
		const oldest = this.#recent[0] ?? { time, tokens: this.#tokens };
		const stats = this.#stats();
		return [
			`${formatCount(this.#tokens)} tokens`,
			`${formatRate(rate(this.#tokens - oldest.tokens, time - oldest.time))} tok/s`,
			`${formatCount(stats.retained)} kept, ${formatCount(stats.evicted)} evicted`,
			formatCache(stats),
			`memory ${formatBytes(process.memoryUsage.rss())}`,
		];
	}
}
