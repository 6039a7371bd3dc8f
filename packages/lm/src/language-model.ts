/** A model in use: the implementation of `Model`. */
import { type Policy, sink } from "@tok/kv-cache";
import { type Runtime, TokError } from "@tok/runtime";
import { cacheBytes } from "./decoder/cache-cost.ts";
import { checkIds } from "./decoder/check-ids.ts";
import type { Compressor } from "./decoder/compressors.ts";
import { DecoderEngine } from "./decoder/decoder-engine.ts";
import { DecoderState } from "./decoder/decoder-state.ts";
import { StepBatch } from "./decoder/step-batch.ts";
import { graphKey } from "./graph-key.ts";
import { loadPart } from "./load-part.ts";
import type {
	ArchiveFileOptions,
	Batch,
	BatchOptions,
	LikelihoodOptions,
	MemoryHeads,
	Model,
	ModelInfo,
	Precision,
	RestoreOptions,
	Session,
	SessionOptions,
} from "./model.ts";
import { modelFingerprint } from "./model-fingerprint.ts";
import type { OpenDecoder } from "./open-decoder.ts";
import type { ModelText } from "./open-model.ts";
import { logSoftmaxAt } from "./sampling/logprobs.ts";
import { DecoderSession } from "./session/session.ts";
import { SessionBatch } from "./session/session-batch.ts";
import type { SessionModel } from "./session/session-model.ts";
import type { Beginning, CreateState, CreateWithArchive } from "./sessions-from-files.ts";
import type { ChatTemplate } from "./text/chat-template.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

const CHUNK = 128;

const filesOfSessions = () =>
	loadPart("reads saved sessions and archives", () => import("./sessions-from-files.ts"));

export interface LanguageModelOptions {
	readonly name: string;
	readonly decoder: OpenDecoder;
	readonly text: ModelText;
	readonly precision: Precision;
	readonly runtime: Runtime;
	readonly memoryHeads?: readonly MemoryHeads[] | undefined;
	readonly compressors?: Readonly<Record<string, Compressor>> | undefined;
}

export class LanguageModel implements Model, SessionModel {
	readonly info: ModelInfo;
	readonly tokenizer: Tokenizer;
	readonly chatTemplate: ChatTemplate | undefined;
	readonly engine: DecoderEngine;
	readonly sessions: Set<Session> = new Set();
	readonly #batches = new Set<Batch>();
	readonly #decoder: OpenDecoder;
	#fingerprint: string | undefined;

	constructor({ name, decoder, text, precision, runtime, memoryHeads, compressors }: LanguageModelOptions) {
		const { config, weights, pairing, file } = decoder;
		this.#decoder = decoder;
		this.engine = new DecoderEngine({
			config,
			weights,
			pairing,
			precision,
			runtime,
			memoryHeads,
			compressors,
			graphKey: () => graphKey({ fingerprint: this.fingerprint(), file, precision, pairing }),
		});
		this.tokenizer = text.tokenizer;
		this.chatTemplate = text.chatTemplate;
		this.info = {
			name,
			architecture: config.architecture,
			layers: config.layers.length,
			hiddenSize: config.hiddenSize,
			queryHeads: config.queryHeads,
			kvHeads: config.kvHeads,
			headDim: config.headDim,
			vocabularySize: config.vocabularySize,
			contextLength: config.contextLength,
			precision,
			memoryHeads: this.engine.remembering.heads,
		};
	}

	cacheBytes(policy: Policy): number {
		return cacheBytes(this.engine.config, policy, this.engine.remembering);
	}

	async prepare(policy: Policy, { attention }: { readonly attention?: boolean } = {}): Promise<void> {
		await this.engine.graph(this.engine.segments(policy), attention);
	}

	createSession(options: SessionOptions): Session {
		return this.#open(options, (policy, positions) =>
			DecoderState.create(this.engine, policy, positions, options.attention),
		);
	}

	createBatch({ policy, size }: BatchOptions): Batch {
		this.engine.checkOpen();
		return new SessionBatch(new StepBatch(this.engine, policy, size), {
			batches: this.#batches,
			open: (steps, options) =>
				this.#open(options, (own, positions) =>
					DecoderState.inBatch(this.engine, own, positions, { batch: steps }),
				),
			openWithArchive: (batch, source, options) =>
				this.#openWithArchive(source, options, (own, positions, attached) =>
					DecoderState.inBatch(this.engine, own, positions, { batch, attached }),
				),
		});
	}

	async createSessionWithArchive(
		source: string | Blob,
		options: SessionOptions & ArchiveFileOptions,
	): Promise<Session> {
		return this.#openWithArchive(source, options, (policy, positions, attached) =>
			DecoderState.withArchive(this.engine, policy, positions, { attached, attention: options.attention }),
		);
	}

	async #openWithArchive(
		source: string | Blob,
		options: SessionOptions & ArchiveFileOptions,
		createState: CreateWithArchive,
	): Promise<Session> {
		this.engine.checkOpen();
		const { sessionWithArchive } = await filesOfSessions();
		return sessionWithArchive(this, source, options, {
			begin: (create) => this.#begin(options, create),
			open: (state, beginning) => this.#session(state, beginning),
			createState,
		});
	}

	#open(options: SessionOptions, createState: CreateState): Session {
		const { state, ...rest } = this.#begin(options, createState);
		return this.#session(state, rest);
	}

	#begin(
		{ policy, positions = "in-cache", pin, chunk = CHUNK }: SessionOptions,
		createState: CreateState,
	): { readonly state: DecoderState } & Beginning {
		this.engine.checkOpen();
		checkChunk(chunk);
		const pinned = typeof pin === "string" ? this.tokenizer.encode(pin) : (pin ?? []);
		checkIds(pinned, this.info.vocabularySize);
		return { state: createState(withPinned(policy, pinned.length), positions), chunk, pinned };
	}

	#session(state: DecoderState, { chunk, pinned }: Beginning): Session {
		return new DecoderSession(this, state, chunk, { pending: pinned, logits: undefined, random: undefined });
	}

	async restoreSession(source: string | Blob, options: RestoreOptions = {}): Promise<Session> {
		const { chunk = CHUNK } = options;
		this.engine.checkOpen();
		checkChunk(chunk);
		const { restoredSession } = await filesOfSessions();
		return restoredSession(this, source, { ...options, chunk });
	}

	async negativeLogLikelihoods(ids: ArrayLike<number>, options: LikelihoodOptions): Promise<Float32Array> {
		const { policy, positions = "in-cache", chunk = CHUNK, from: first = 1, signal, onProgress } = options;
		const { vocabularySize } = this.info;
		checkChunk(chunk);
		checkIds(ids, vocabularySize);
		const end = ids.length - 1;
		if (!Number.isSafeInteger(first) || first < 1 || first > end)
			throw new TokError(
				"lm",
				`likelihoods: expected at least two tokens and a first one from 1 to ${end}, got ${ids.length} and ${first}.`,
			);
		const likelihoods = new Float32Array(ids.length - first);
		const state = DecoderState.create(this.engine, policy, positions);
		try {
			for (let from = 0; from < end; ) {
				signal?.throwIfAborted();
				const before = from < first - 1;
				const { take, logits, release } = await state.read(ids, {
					from,
					to: before ? first - 1 : end,
					chunk,
					scored: before ? "none" : "all",
				});
				for (let i = 0; !before && i < take; i++) {
					const row = logits.subarray(i * vocabularySize, (i + 1) * vocabularySize);
					likelihoods[from + i + 1 - first] = -logSoftmaxAt(row, ids[from + i + 1] as number);
				}
				release();
				from += take;
				onProgress?.(from);
			}
			return likelihoods;
		} finally {
			state.dispose();
		}
	}

	fingerprint(): string {
		this.#fingerprint ??= modelFingerprint(this.#decoder.config, this.#decoder.file);
		return this.#fingerprint;
	}

	async dispose(): Promise<void> {
		for (const batch of [...this.#batches]) batch.dispose();
		for (const session of [...this.sessions]) session.dispose();
		await this.engine.dispose();
		this.#decoder.file.close();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}
}

function checkChunk(chunk: number): void {
	if (!Number.isSafeInteger(chunk) || chunk < 1)
		throw new TokError("lm", `chunk: expected an integer ≥ 1, got ${chunk}. Leave it out for ${CHUNK}.`);
}

/** The policy with at least `count` sinks, so that a pinned beginning never leaves. */
function withPinned(policy: Policy, count: number): Policy {
	const [first, ...rest] = policy;
	if (count === 0 || first === undefined || first.kind === "dense") return policy;
	if (first.kind === "recompute")
		throw new TokError(
			"lm",
			"pin: expected a policy that keeps entries, got recompute. Use sink and rolling.",
		);
	if (first.kind !== "sink") return [sink(count), ...policy];
	return [sink(Math.max(count, first.slots)), ...rest];
}
