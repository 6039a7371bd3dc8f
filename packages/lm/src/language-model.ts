/** A model in use: the implementation of `Model`. */
import { formatPolicy, fullSlots, type Policy, type Positions, parsePolicy, sink } from "@tok/kv-cache";
import { kvParts, type Runtime, TokError } from "@tok/runtime";
import { archiveLayout } from "./decoder/archive-layout.ts";
import { cacheBytes, cacheShape } from "./decoder/cache-cost.ts";
import { checkIds } from "./decoder/check-ids.ts";
import type { Compressor } from "./decoder/compressors.ts";
import { DecoderEngine } from "./decoder/decoder-engine.ts";
import { type Attached, DecoderState } from "./decoder/decoder-state.ts";
import { StepBatch } from "./decoder/step-batch.ts";
import { graphKey } from "./graph-key.ts";
import { nextTurn } from "./later.ts";
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
import { checkArchive, openArchive } from "./session/archive-file.ts";
import { decodeCache, decodedShape } from "./session/decode-cache.ts";
import { DecoderSession } from "./session/session.ts";
import { SessionBatch } from "./session/session-batch.ts";
import { openSession } from "./session/session-file.ts";
import type { SessionModel } from "./session/session-model.ts";
import type { ChatTemplate } from "./text/chat-template.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

const CHUNK = 128;

type CreateState = (policy: Policy, positions: Positions) => DecoderState;
/** @param attached What an archive holds, which it begins with. */
type CreateWithArchive = (policy: Policy, positions: Positions, attached: Attached) => DecoderState;

/** What a new session begins with besides its state. */
interface Beginning {
	readonly chunk: number;
	readonly pinned: readonly number[];
}

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
		{ signal, onProgress, ...options }: SessionOptions & ArchiveFileOptions,
		createState: CreateWithArchive,
	): Promise<Session> {
		this.engine.checkOpen();
		const archive = await openArchive(source, signal);
		const { path } = archive;
		try {
			const { state, ...rest } = this.#begin(options, (policy, positions) => {
				const layout = archiveLayout(policy);
				if (!layout?.portable)
					throw new TokError(
						"lm",
						`${path}: expected a policy whose memory takes what the window drops, got ${formatPolicy(policy)}. ` +
							"Write one such as sink:4,memory:4096/8x16,rolling:1020.",
					);
				checkArchive(path, archive.header, {
					...layout,
					headDim: this.info.headDim,
					model: this.fingerprint(),
					precision: this.info.precision,
					heads: kvParts(
						cacheShape(this.engine.config, policy, fullSlots(policy), this.engine.remembering),
						layout.segment,
					),
				});
				checkIds(archive.ids, this.info.vocabularySize);
				return createState(policy, positions, { ids: archive.ids, recalls: archive.header.recalls });
			});
			try {
				const { blockSize, tokens } = archive.header;
				let slot = 0;
				for (const rows of archive.blocks()) {
					await state.store.writeSlots(state.archive?.layout.segment ?? 0, slot, rows);
					slot += blockSize;
					onProgress?.(slot, tokens);
					if (slot % (64 * blockSize) === 0) await nextTurn();
					signal?.throwIfAborted();
				}
				this.engine.checkOpen();
				return this.#session(state, rest);
			} catch (error) {
				state.dispose();
				throw error;
			}
		} finally {
			archive.close();
		}
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

	async restoreSession(
		source: string | Blob,
		{ policy, chunk = CHUNK, attention }: RestoreOptions = {},
	): Promise<Session> {
		this.engine.checkOpen();
		checkChunk(chunk);
		const saved = await openSession(source);
		try {
			const { header, path } = saved;
			const { precision, vocabularySize } = this.info;
			expectSame(path, "model", this.fingerprint(), header.model, "Load the model that it was saved with.");
			expectSame(path, "precision", precision, header.precision, `Load the model as ${header.precision}.`);
			const expected = policy === undefined ? header.policy : formatPolicy(policy);
			expectSame(path, "policy", expected, header.policy, "Restore it with its own policy.");
			expectSame(path, "logits", header.logits === 0 ? 0 : vocabularySize, header.logits);
			const { forgotten = [] } = saved.attentionMass ?? {};
			const { tail, pending, attached, blocks } = header;
			checkIds([...tail, ...pending, ...attached, ...(blocks?.ids ?? []), ...forgotten], vocabularySize);
			const { kvFormats } = this.engine.runtime;
			const shape = decodedShape(header.shape, kvFormats);
			const { recalled, attentionMass } = saved;
			const parts = { ...header, shape, recalled, attention, attentionMass };
			const state = DecoderState.restore(this.engine, parsePolicy(header.policy), header.cache, parts);
			try {
				await state.store.load(decodeCache(header.shape, kvFormats, saved.cache()));
				return new DecoderSession(this, state, chunk, {
					pending: header.pending,
					logits: saved.logits,
					random: header.random ?? undefined,
				});
			} catch (error) {
				state.dispose();
				throw error;
			}
		} finally {
			saved.close();
		}
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

function expectSame(
	path: string,
	what: string,
	expected: string | number,
	got: string | number,
	remedy = "The file is not of this program's making.",
): void {
	if (expected !== got)
		throw new TokError("lm", `${path}: expected a session of the ${what} ${expected}, got ${got}. ${remedy}`);
}
