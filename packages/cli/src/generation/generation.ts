/** One generation with its clock: reads the prompt, goes on token by token, and says how fast both went. */
import type {
	FinishReason,
	GeneratedToken,
	GenerateOptions,
	Session,
	SessionStats,
	SpeculationCounts,
} from "@tok/lm";
import { rate } from "../terminal/format.ts";

/** What sees the tokens as they come. */
export interface GenerationView {
	/** The prompt is being read: so many of so many tokens. */
	reading(read: number, total: number): void;
	/** A token was generated; resolves when its text is written. */
	token(token: GeneratedToken): Promise<void>;
}

export interface GenerationReport {
	readonly finishReason: FinishReason;
	readonly promptTokens: number;
	readonly tokens: number;
	/** Null when no prompt was read. */
	readonly prefillTokensPerSecond: number | null;
	/** From the first token to the last; null for fewer than two. */
	readonly decodeTokensPerSecond: number | null;
	/** Present with --speculate. */
	readonly speculation?: SpeculationCounts;
	readonly cache: Pick<SessionStats, "retained" | "evicted" | "bytes" | "diskBytes">;
	/** Resident memory now. */
	readonly rssBytes: number;
}

export interface GenerationSettings extends GenerateOptions {
	readonly signal: AbortSignal;
	/** The prompt begins a chat turn. Defaults to false. */
	readonly turn?: boolean;
}

/** Appends `promptIds`, then generates. An aborted signal ends it with the finish reason "abort". */
export async function runGeneration(
	session: Session,
	promptIds: readonly number[],
	{ turn = false, ...options }: GenerationSettings,
	view: GenerationView,
): Promise<GenerationReport> {
	const { signal } = options;
	const begun = performance.now();
	let finishReason: FinishReason = "abort";
	let speculation: SpeculationCounts | undefined;
	let tokens = 0;
	let first = 0;
	let last = 0;
	let read = begun;
	try {
		if (promptIds.length > 0) {
			await session.append(promptIds, {
				turn,
				signal,
				onProgress: (done, total) => view.reading(done, total),
			});
		}
		read = performance.now();
		const generation = session.generate(options);
		for (let step = await generation.next(); ; step = await generation.next()) {
			if (step.done) {
				({ finishReason, speculation } = step.value);
				break;
			}
			last = performance.now();
			if (tokens++ === 0) first = last;
			// After Ctrl-C nothing more is written, even if a token was under way.
			if (!signal.aborted) await view.token(step.value);
		}
	} catch (error) {
		if (!signal.aborted) throw error;
	}
	const { retained, evicted, bytes, diskBytes } = session.stats;
	return {
		finishReason,
		promptTokens: promptIds.length,
		tokens,
		prefillTokensPerSecond: rate(promptIds.length, read - begun),
		decodeTokensPerSecond: rate(tokens - 1, last - first),
		...(speculation && { speculation }),
		cache: { retained, evicted, bytes, diskBytes },
		rssBytes: process.memoryUsage.rss(),
	};
}
