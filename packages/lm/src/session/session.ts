/**
 * An endless session: text in, text out, over a decoder's state of bounded size.
 *
 * A token that was chosen is *pending* until it is read, which happens when the next one is wanted. So breaking off
 * a generation computes nothing for nothing, and a session is at every moment a stream of whole tokens.
 */
import { formatPolicy, type Policy, type Positions } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { checkIds } from "../decoder/check-ids.ts";
import type { DecoderState } from "../decoder/decoder-state.ts";
import { LEAST_TAIL } from "../decoder/token-tail.ts";
import type {
	AppendOptions,
	ArchiveReport,
	FinishReason,
	GeneratedToken,
	GenerateOptions,
	GenerationResult,
	RecalledPassage,
	SaveArchiveOptions,
	SaveOptions,
	Session,
	SessionStats,
	TokenAttention,
	WriteTarget,
} from "../model.ts";
import { logSoftmaxAt, topLogprobs } from "../sampling/logprobs.ts";
import type { RandomState } from "../sampling/random.ts";
import { createSampler, type Sampler } from "../sampling/sampler.ts";
import { type Sampling, validateSampling } from "../sampling/sampling.ts";
import { createStopMatcher } from "../sampling/stop-strings.ts";
import { recalledPassages } from "./recalled-passages.ts";
import { saveArchive } from "./save-archive.ts";
import { writeSession } from "./session-file.ts";
import type { SessionModel } from "./session-model.ts";
import { Speculation } from "./speculation.ts";

/** What a session is besides its decoder's state; all of it is saved. */
export interface SessionMemory {
	/** Tokens that were chosen or given and not read yet. */
	readonly pending: readonly number[];
	/** Of the last token that was read; undefined before the first and after a rewind. A copy is made. */
	readonly logits: Float32Array | undefined;
	/** Where the last generation left its choices; undefined before the first. */
	readonly random: RandomState | undefined;
}

export class DecoderSession implements Session {
	readonly #model: SessionModel;
	readonly #state: DecoderState;
	readonly #chunk: number;
	#pending: number[];
	#logits: Float32Array | undefined;
	#random: RandomState | undefined;
	#busy = false;
	#disposed = false;

	constructor(model: SessionModel, state: DecoderState, chunk: number, memory: SessionMemory) {
		this.#model = model;
		this.#state = state;
		this.#chunk = chunk;
		this.#pending = [...memory.pending];
		this.#note(memory.logits);
		this.#random = memory.random;
		model.sessions.add(this);
	}

	get policy(): Policy {
		return this.#state.cache.policy;
	}

	get positions(): Positions {
		return this.#state.cache.positions;
	}

	get stats(): SessionStats {
		const { cache, store } = this.#state;
		return {
			length: cache.length + this.#pending.length,
			attached: cache.attached,
			retained: cache.retained,
			evicted: cache.evicted,
			bytes: store.bytes,
			diskBytes: store.diskBytes,
		};
	}

	async append(input: string | readonly number[], options: AppendOptions = {}): Promise<void> {
		await this.#exclusively("append", () => this.#append(input, options));
	}

	async score(input: string | readonly number[], options: AppendOptions = {}): Promise<Float32Array> {
		const scores: number[] = [];
		await this.#exclusively("score", () => this.#append(input, options, scores));
		return Float32Array.from(scores);
	}

	async *generate(options: GenerateOptions = {}): AsyncGenerator<GeneratedToken, GenerationResult> {
		const {
			prompt,
			maxTokens,
			stop = [],
			ignoreEndOfText = false,
			logprobs,
			speculate = 0,
			signal,
			...sampling
		} = options;
		checkLimit("maxTokens", maxTokens);
		checkLimit("logprobs", logprobs);
		checkLimit("speculate", speculate);
		const matcher = createStopMatcher(stop);
		const sampler = this.#sampler(sampling);
		const release = this.#acquire("generate");
		const speculation = this.#speculation(speculate);
		let tokens = 0;
		const finish = (finishReason: FinishReason): GenerationResult => ({
			finishReason,
			tokens,
			...(speculate > 0 && { speculation: speculation?.counts ?? { guessed: 0, accepted: 0, runs: 0 } }),
		});
		const note = (id: number): void => {
			sampler.accept(id);
			speculation?.push(id);
		};
		try {
			if (prompt !== undefined) await this.#append(prompt, { signal });
			for (const id of [...this.#state.tail, ...this.#pending].slice(-LEAST_TAIL)) note(id);
			this.#state.archive?.tally.begin();
			const { tokenizer } = this.#model;
			const detokenizer = tokenizer.createDetokenizer({
				skipSpecialTokens: true,
				continued: this.stats.length > 0,
			});
			const rest = (): string => matcher.push(detokenizer.flush()).text + matcher.flush();
			while (maxTokens === undefined || tokens < maxTokens) {
				if (signal?.aborted) return finish("abort");
				const left = (maxTokens ?? Number.POSITIVE_INFINITY) - tokens;
				const logits = await this.#currentLogits(signal, speculation && ((id) => speculation.read(id, left)));
				const id = sampler.sample(logits, ignoreEndOfText ? tokenizer.endOfTextIds : []);
				const report = logprobs === undefined ? {} : describeChoice(logits, id, logprobs);
				tokens++;
				if (tokenizer.endOfTextIds.has(id)) {
					yield { id, text: rest(), ...report };
					return finish("stop");
				}
				note(id);
				this.#pending.push(id);
				const { text, stopped } = matcher.push(detokenizer.push(id));
				const last = !stopped && tokens === maxTokens;
				yield { id, text: last ? text + rest() : text, ...report };
				if (stopped) return finish("stop");
			}
			return finish("length");
		} catch (error) {
			if (signal?.aborted && error === signal.reason) return finish("abort");
			throw error;
		} finally {
			this.#random = sampler.snapshot().random;
			this.#state.archive?.tally.end();
			try {
				await this.#state.settle();
			} finally {
				speculation?.dispose();
				release();
			}
		}
	}

	recalled(): readonly RecalledPassage[] {
		this.#checkOpen();
		return recalledPassages(this.#state, this.#model);
	}

	attention(): TokenAttention | undefined {
		this.#checkOpen();
		if (!this.#state.attention)
			throw new TokError(
				"lm",
				"attention: expected a session with attention, got one without. Create it with { attention: true }.",
			);
		return this.#state.tokenAttention();
	}

	rewind(count: number): void {
		const release = this.#acquire("rewind");
		try {
			const { cache } = this.#state;
			const fromCache = Math.max(0, count - this.#pending.length);
			// The token that is last then is read again for its logits, so it has to be retained too.
			const most = cache.rewindable === cache.length ? cache.length : Math.max(0, cache.rewindable - 1);
			if (!Number.isSafeInteger(count) || count < 0 || fromCache > most)
				throw new TokError(
					"lm",
					`rewind: expected an integer from 0 to ${most + this.#pending.length}, the tokens that the policy ` +
						`${formatPolicy(this.policy)} can forget now, got ${count}.`,
				);
			this.#pending.length -= count - fromCache;
			if (fromCache === 0) return;
			this.#state.rewind(fromCache);
			this.#logits = undefined;
		} finally {
			release();
		}
	}

	fork(): Session {
		const release = this.#acquire("fork");
		try {
			return new DecoderSession(this.#model, this.#state.fork(), this.#chunk, {
				pending: this.#pending,
				logits: this.#logits,
				random: this.#random,
			});
		} finally {
			release();
		}
	}

	async save(target: WriteTarget, { data }: SaveOptions = {}): Promise<void> {
		await this.#exclusively("save", async () => {
			const { cache, store, tail, attached, archive, attentionMass } = this.#state;
			const { recalled, held, blocks } = archive?.snapshot() ?? {};
			const model = this.#model;
			const header = {
				model: model.fingerprint(),
				precision: model.engine.precision,
				policy: formatPolicy(cache.policy),
				cache: cache.snapshot(),
				shape: store.shape,
				tail,
				attached,
				held,
				blocks,
				pending: this.#pending,
				random: this.#random ?? null,
				logits: this.#logits?.length ?? 0,
				cacheBytes: store.bytes,
				data,
			};
			const body = {
				logits: this.#logits,
				recalled,
				attentionMass: attentionMass?.snapshot(),
				cache: store.read(),
			};
			await writeSession(target, header, body);
		});
	}

	async saveArchive(target: WriteTarget, options: SaveArchiveOptions = {}): Promise<ArchiveReport> {
		return this.#exclusively("saveArchive", async () => {
			const report = await saveArchive(target, this.#state, this.#model, options);
			const { leftOut } = report;
			return { ...report, leftOut: { ...leftOut, last: leftOut.last + this.#pending.length } };
		});
	}

	dispose(): void {
		this.#disposed = true;
		this.#model.sessions.delete(this);
		this.#state.dispose();
		this.#logits = undefined;
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	async #append(
		input: string | readonly number[],
		{ turn = false, signal, onProgress }: AppendOptions,
		scores?: number[],
	): Promise<void> {
		const ids = this.#encode(input);
		const [first] = ids;
		if (first === undefined) return;
		if (turn) {
			// The mark belongs to the next token that is read.
			await this.#readPending("none", signal);
			this.#state.cache.beginTurn();
		}
		if (scores !== undefined && this.stats.length > 0) {
			if (this.#pending.length > 0 || this.#logits === undefined) await this.#currentLogits(signal);
			scores.push(-logSoftmaxAt(this.#logits as Float32Array, first));
		}
		const before = this.#state.cache.length + this.#pending.length;
		this.#pending = [...this.#pending, ...ids];
		try {
			await this.#readPending("last", signal, onProgress, scores);
		} catch (error) {
			// What was chosen before stays; what was to be appended and is not read is forgotten.
			this.#pending.length = Math.max(0, before - this.#state.cache.length);
			throw error;
		}
	}

	#encode(input: string | readonly number[]): readonly number[] {
		const { tokenizer, engine } = this.#model;
		const addSpecialTokens = this.stats.length === 0;
		const ids = typeof input === "string" ? tokenizer.encode(input, { addSpecialTokens }) : input;
		checkIds(ids, engine.config.vocabularySize);
		return ids;
	}

	/**
	 * Reads what is pending, chunk by chunk, and keeps the last one's logits when they are scored. What was read is
	 * pending no more, also when a later chunk fails. −ln p of every token but the first goes to `scores`, if given.
	 */
	async #readPending(
		scored: "none" | "last",
		signal?: AbortSignal,
		onProgress?: (read: number, total: number) => void,
		scores?: number[],
	): Promise<void> {
		const width = this.#model.engine.config.vocabularySize;
		const total = this.#pending.length;
		while (this.#pending.length > 0) {
			signal?.throwIfAborted();
			this.#checkOpen();
			const to = this.#pending.length;
			const { take, logits, release } = await this.#state.read(this.#pending, {
				from: 0,
				to,
				chunk: this.#chunk,
				scored: scores === undefined ? scored : "all",
			});
			for (const [row, id] of scores === undefined ? [] : this.#pending.slice(1, take + 1).entries())
				scores?.push(-logSoftmaxAt(logits.subarray(row * width, (row + 1) * width), id));
			this.#pending = this.#pending.slice(take);
			this.#note(scored === "last" && take === to ? logits.subarray(-width) : undefined);
			release();
			onProgress?.(total - to + take, total);
		}
	}

	/** Logits of the token after the stream as it stands. `readOne` reads a single pending token, if given. */
	async #currentLogits(
		signal: AbortSignal | undefined,
		readOne?: (id: number) => Promise<Float32Array>,
	): Promise<Float32Array> {
		if (this.#pending.length === 0) {
			if (this.#logits !== undefined) return this.#logits;
			this.#pending = [this.#unreadLast() ?? this.#startToken()];
		}
		const [id, ...more] = this.#pending;
		if (readOne === undefined || id === undefined || more.length > 0) await this.#readPending("last", signal);
		else {
			signal?.throwIfAborted();
			this.#checkOpen();
			this.#note(await readOne(id));
			this.#pending = [];
		}
		if (this.#logits === undefined)
			throw new TokError("lm", "internal: expected logits after reading, got none.");
		return this.#logits;
	}

	/** Keeps a run's logits, in memory of the session's own: the run's is freed. */
	#note(logits: Float32Array | undefined): void {
		if (logits === undefined || this.#logits === undefined) this.#logits = logits?.slice();
		else this.#logits.set(logits);
	}

	/** Takes the last token back, to be read again for its logits; undefined when there is none. */
	#unreadLast(): number | undefined {
		const { cache, tail } = this.#state;
		if (cache.length === 0) return undefined;
		this.#state.rewind(1);
		return tail.at(-1);
	}

	#startToken(): number {
		const { bosId, eosId } = this.#model.tokenizer;
		const id = bosId ?? eosId;
		if (id !== undefined) return id;
		throw new TokError(
			"lm",
			"generate: expected a prompt, got none, and the model has no token to begin a text with. Append a text first.",
		);
	}

	/** Undefined where nothing can be, or is to be, guessed. */
	#speculation(most: number): Speculation | undefined {
		// A run reads a chunk at most, the pending token included.
		const guesses = Math.min(most, this.#chunk - 1);
		return guesses > 0 && this.#state.canReadAhead ? new Speculation(this.#state, guesses) : undefined;
	}

	/** Goes on with the last generation's random numbers unless a seed is given. */
	#sampler(options: Sampling): Sampler {
		const full = validateSampling(options);
		const repetitionWindow = Math.min(full.repetitionWindow, LEAST_TAIL);
		const sampler = createSampler({ ...full, repetitionWindow }, this.#model.engine.config.vocabularySize);
		if (options.seed === undefined && this.#random !== undefined)
			sampler.restore({ random: this.#random, recent: [] });
		return sampler;
	}

	async #exclusively<T>(action: string, body: () => Promise<T>): Promise<T> {
		const release = this.#acquire(action);
		try {
			return await body();
		} finally {
			release();
		}
	}

	#acquire(action: string): () => void {
		this.#checkOpen();
		if (this.#busy)
			throw new TokError(
				"lm",
				`${action}: the session is busy with another call. Await it or end its loop first.`,
			);
		this.#busy = true;
		return () => {
			this.#busy = false;
		};
	}

	#checkOpen(): void {
		if (this.#disposed) throw new TokError("lm", "the session was disposed. Create a new one.");
	}
}

function describeChoice(
	logits: Float32Array,
	id: number,
	count: number,
): Pick<GeneratedToken, "logprob" | "topLogprobs"> {
	return { logprob: logSoftmaxAt(logits, id), topLogprobs: topLogprobs(logits, count) };
}

function checkLimit(name: string, value: number | undefined): void {
	if (value !== undefined && (!Number.isSafeInteger(value) || value < 0))
		throw new TokError("lm", `${name}: expected an integer ≥ 0, got ${value}. Leave it out for none.`);
}
