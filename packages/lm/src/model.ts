/**
 * What a user holds: a model loaded on a runtime, and the endless sessions that it makes. Types only;
 * `load-model.ts` and `session.ts` implement them.
 */
import type { Policy, Positions } from "@tok/kv-cache";
import type { KvPart, Runtime } from "@tok/runtime";
import type { Compressor } from "./decoder/compressors.ts";
import type { Sampling } from "./sampling/sampling.ts";
import type { ChatTemplate } from "./text/chat-template.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/**
 * `exact`: float32 throughout. `fast`: weights stay quantised in the graph, activations are 8-bit; the experts of a
 * mixture, and the router that chooses them, are float32 all the same. Where a runtime computes in float16, activations
 * are that, the experts' too, and the logits alone are float32.
 */
export type Precision = "exact" | "fast";

/** Key/value heads of one layer. */
export interface MemoryHeads {
	readonly layer: number;
	/** Defaults to all. */
	readonly heads?: readonly number[] | undefined;
}

/** A path, in Node, or a stream anywhere. */
export type WriteTarget = string | WritableStream<Uint8Array>;

export interface LoadModelOptions {
	/** Executes the graphs. The caller keeps it and disposes it after the model. */
	readonly runtime: Runtime;
	/** Defaults to "fast" for a file with quantised weights, "exact" otherwise. */
	readonly precision?: Precision;
	/**
	 * Key/value heads in which sessions under a `memory` policy recall, and which alone are archived. Fewer cost less;
	 * which ones matter is a property of the model. Defaults to all, of layers that look back without a limit.
	 */
	readonly memoryHeads?: readonly MemoryHeads[] | undefined;
	/**
	 * What merges entries that leave the window, besides `mean`, `max` and `most-used`, by the name that policies give:
	 * `compressive({ rate, slots, compressor: "name" })`. Saved sessions hold the name alone, so the model that restores
	 * them has to have the same compressor by it. Defaults to none.
	 */
	readonly compressors?: Readonly<Record<string, Compressor>> | undefined;
	/**
	 * Loads what renders chat templates along with the model. Where not everyone chats, `false` leaves it to
	 * `chatTemplate.prepare()`: a page has 10 kB less to fetch until then. Defaults to true.
	 */
	readonly prepareChat?: boolean | undefined;
	readonly signal?: AbortSignal | undefined;
	/** Called while a file is fetched and while weights are read. */
	readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
	readonly stage: "download" | "read" | "compile";
	/** What is under way, for people: a file name or a source. */
	readonly label: string;
	/** Bytes so far. */
	readonly loaded: number;
	/** Bytes in all; undefined when unknown. */
	readonly total: number | undefined;
}

export interface ModelInfo {
	/** The name or path that the model was loaded by; of a `File` its name, of several their folder's. */
	readonly name: string;
	/** "llama", "qwen3", … */
	readonly architecture: string;
	readonly layers: number;
	readonly hiddenSize: number;
	readonly queryHeads: number;
	readonly kvHeads: number;
	readonly headDim: number;
	readonly vocabularySize: number;
	/** Positions that the model was trained on; undefined when the file does not say. */
	readonly contextLength: number | undefined;
	readonly precision: Precision;
	/** Heads that archive and recall under a policy with memory, layers ascending; none in a model that cannot. */
	readonly memoryHeads: readonly KvPart[];
}

export interface Model {
	readonly info: ModelInfo;
	readonly tokenizer: Tokenizer;
	/** Undefined when the model carries none. */
	readonly chatTemplate: ChatTemplate | undefined;
	/** Bytes of keys and values that a session of this policy allocates, on disk too; Infinity for `dense`. */
	cacheBytes(policy: Policy): number;
	/**
	 * Builds the graph that sessions of this policy run, which takes seconds; the first session that needs it waits
	 * for the same. Give `session.policy`, which a pinned beginning lengthens.
	 *
	 * @param options.attention Builds that of sessions with `attention`. Defaults to false.
	 */
	prepare(policy: Policy, options?: { readonly attention?: boolean }): Promise<void>;
	createSession(options: SessionOptions): Session;
	/**
	 * Room for sessions whose steps are computed together. What they generate is what they would alone, up to float32
	 * rounding; together they take little longer than one. Throws for a policy without a bound.
	 */
	createBatch(options: BatchOptions): Batch;
	/**
	 * A session whose archive already holds what `session.saveArchive` has written: its stream is empty, and everything
	 * archived before is within its tokens' reach from the first one on. Positions do not matter, as archived keys have
	 * none. Rejects another model's file, one of another precision, block size or memory heads, one that the policy's
	 * memory has no room for, a cut and an altered one.
	 */
	createSessionWithArchive(
		source: string | Blob,
		options: SessionOptions & ArchiveFileOptions,
	): Promise<Session>;
	/**
	 * Continues a saved session, from a path or from the file's bytes. Rejects another model's, another policy's, a cut
	 * and an altered file.
	 */
	restoreSession(source: string | Blob, options?: RestoreOptions): Promise<Session>;
	/** −ln p of ids[1], ids[2], … given what the policy shows of the tokens before each (nats). */
	negativeLogLikelihoods(ids: ArrayLike<number>, options: LikelihoodOptions): Promise<Float32Array>;
	dispose(): Promise<void>;
	[Symbol.asyncDispose](): Promise<void>;
}

export interface SessionOptions {
	/**
	 * What the cache keeps. In models with dynamic NTK or longrope scaling (Phi-3) it also chooses the rotary
	 * frequencies, once for the session: with in-cache positions and a bounded cache those for that many positions, else
	 * those for the model's whole context.
	 */
	readonly policy: Policy;
	/** Defaults to "in-cache". */
	readonly positions?: Positions;
	/** Text or ids that no policy ever drops: read first, and kept whole as sinks. Defaults to nothing. */
	readonly pin?: string | readonly number[];
	/** Most tokens that one graph call reads. Defaults to 128. */
	readonly chunk?: number;
	/**
	 * The session tells on what its last token laid its attention (`Session.attention`). It runs a graph of its own for
	 * that, with the model's weights once more in memory, and fetches the weights of a token with every run. Not in a
	 * batch. Defaults to false.
	 */
	readonly attention?: boolean;
}

export interface ArchiveFileOptions {
	/** Rejects with its reason when it is aborted; nothing is left behind. */
	readonly signal?: AbortSignal | undefined;
	/** Called now and then with the tokens so far, of how many. */
	readonly onProgress?: (tokens: number, total: number) => void;
}

export interface SaveOptions {
	/**
	 * What an app wants to find with the session again, such as a transcript: anything that JSON has, which
	 * `inspectSession` reads back. Sessions know nothing of it. Defaults to nothing.
	 */
	readonly data?: unknown;
}

/** What a session file says of itself. */
export interface SessionInfo {
	/** Of a `File` its name. */
	readonly path: string;
	/** Tells models apart, not for people. */
	readonly model: string;
	readonly precision: Precision;
	/** As `formatPolicy` writes it. */
	readonly policy: string;
	/** Heads that archive and recall, layers ascending; undefined under a policy without memory. */
	readonly memoryHeads: readonly KvPart[] | undefined;
	/** Of the file. */
	readonly bytes: number;
	/** What it was saved with; undefined when that was nothing. The app's to check: anyone can make a file. */
	readonly data: unknown;
}

/** How an archive file keeps entries. */
export type ArchiveFormat = "float32" | "int8" | "int4";

export interface SaveArchiveOptions extends ArchiveFileOptions {
	/**
	 * "int8": a code for each number and a scale for each entry and head, a little more than a quarter of "float32"; what is
	 * read back is what an 8-bit archive holds anyway, bit for bit, and within half a scale, a 254th of a key's largest
	 * magnitude and a 126th of a value's, of what a float32 one does. "int4": half of that, for sessions that then hold a
	 * little else than what was read: of a row a tenth of its length. Defaults to "int8" in `fast`, "float32" in `exact`.
	 */
	readonly format?: ArchiveFormat | undefined;
}

/** What an archive file says of itself. */
export interface ArchiveInfo {
	/** Of a `File` its name. */
	readonly path: string;
	/** Tokens that it holds, whole blocks of them. */
	readonly tokens: number;
	readonly blockSize: number;
	/** Heads that are archived, layers ascending. */
	readonly heads: readonly KvPart[];
	readonly precision: Precision;
	/** Of the entries in the file. */
	readonly format: ArchiveFormat;
	/** Tells models apart, not for people. */
	readonly model: string;
	/** Of the file. */
	readonly bytes: number;
}

/** What was written, and what was not. */
export interface ArchiveReport {
	/** Tokens in the file: whole blocks, the newest that the policy's memory would hold. */
	readonly tokens: number;
	/** Of the file. */
	readonly bytes: number;
	readonly leftOut: {
		/** Tokens that are sinks. */
		readonly sinks: number;
		/** Tokens that the archive has dropped, or would have. */
		readonly dropped: number;
		/** The last tokens, which make no whole block yet. */
		readonly last: number;
	};
}

export interface BatchOptions {
	/** The largest cache of a session. */
	readonly policy: Policy;
	/** Most sessions that are open at a time, an integer ≥ 1. Their caches are allocated at once. */
	readonly size: number;
}

export interface Batch {
	readonly policy: Policy;
	readonly size: number;
	/** Sessions that are open now. */
	readonly open: number;
	/**
	 * A session in a free place. `policy` defaults to the batch's; another has as many segments, none of them larger.
	 * Throws when no place is free: dispose a session first.
	 */
	createSession(options?: Partial<SessionOptions>): Session;
	/** The same, beginning with an archive as `Model.createSessionWithArchive` does. Rejects when no place is free. */
	createSessionWithArchive(
		source: string | Blob,
		options?: Partial<SessionOptions> & ArchiveFileOptions,
	): Promise<Session>;
	/** Disposes its sessions too. Twice is fine. */
	dispose(): void;
	[Symbol.dispose](): void;
}

export interface RestoreOptions {
	/** When given, a file saved under another policy is rejected. Defaults to the file's own. */
	readonly policy?: Policy;
	/** Defaults to 128. */
	readonly chunk?: number;
	/** See `SessionOptions.attention`. Defaults to false, however the session was created. */
	readonly attention?: boolean;
}

export interface LikelihoodOptions {
	readonly policy: Policy;
	/** Defaults to "in-cache". */
	readonly positions?: Positions;
	/** Defaults to 128. */
	readonly chunk?: number;
	/** The first token whose likelihood is computed (tokens before it are still read). Defaults to 1. */
	readonly from?: number;
	readonly signal?: AbortSignal | undefined;
	/** Called after each chunk with the tokens read so far. */
	readonly onProgress?: (tokens: number) => void;
}

export interface SessionStats {
	/** Tokens read and generated since the start. */
	readonly length: number;
	/** Entries that the archive began with; none unless the session was created with one. */
	readonly attached: number;
	/** Entries that the cache holds now. */
	readonly retained: number;
	/** Entries dropped since the start. */
	readonly evicted: number;
	/** Bytes of the cache's buffers. */
	readonly bytes: number;
	/** Of these, the bytes that lie on disk: values of an archive, where the runtime keeps them there. */
	readonly diskBytes: number;
}

export interface AppendOptions {
	/** Marks the first appended token as the start of a chat turn, for turn-aware policies. Defaults to false. */
	readonly turn?: boolean;
	readonly signal?: AbortSignal | undefined;
	/** Called after each chunk with the tokens read so far, of how many. */
	readonly onProgress?: (read: number, total: number) => void;
}

export interface GenerateOptions extends Sampling {
	/** Appended before generation. Defaults to nothing: generation goes on from where the session stands. */
	readonly prompt?: string | readonly number[];
	/** Defaults to no limit. */
	readonly maxTokens?: number;
	/** Texts that end generation; they are not part of the output. Defaults to none. */
	readonly stop?: readonly string[];
	/** Never chooses the model's end-of-text token, so that only the other limits end it. Defaults to false. */
	readonly ignoreEndOfText?: boolean;
	/** Reports ln p of the chosen token and of this many best ones. Defaults to not at all. */
	readonly logprobs?: number;
	/**
	 * Most tokens that are guessed ahead, from what the stream said before, and read together with the one that is
	 * due: fewer runs where the stream repeats itself. Each token is chosen as without guesses, from logits that differ
	 * by rounding: in `exact` by float32's, which makes it the same stream, in `fast` by that of 8-bit activations.
	 * Nothing is guessed in a batch, nor under `recompute`. Defaults to 0.
	 */
	readonly speculate?: number;
	readonly signal?: AbortSignal | undefined;
}

export interface GeneratedToken {
	readonly id: number;
	/** Whole characters completed by this token; often "", as a character may span tokens. */
	readonly text: string;
	/** Present when `logprobs` was asked for (nats). */
	readonly logprob?: number;
	readonly topLogprobs?: readonly { readonly id: number; readonly logprob: number }[];
}

/** "stop": end-of-text or a stop string. "length": maxTokens. "abort": the signal. */
export type FinishReason = "stop" | "length" | "abort";

export interface GenerationResult {
	readonly finishReason: FinishReason;
	/** Tokens generated. They are not kept: a generation may have no end. */
	readonly tokens: number;
	/** Present when `speculate` was asked for. */
	readonly speculation?: SpeculationCounts;
}

export interface SpeculationCounts {
	/** Tokens that were guessed and read. */
	readonly guessed: number;
	/** Those of them that were then chosen. */
	readonly accepted: number;
	/** Runs of the graph, with and without guesses; not those that read the prompt. */
	readonly runs: number;
}

/** A passage that had left the window, and that tokens went back to. */
export interface RecalledPassage {
	/** Where it stood: in this stream, or in the archive that the session was created with. */
	readonly source: "stream" | "archive";
	/** Index of its first token there. */
	readonly start: number;
	readonly ids: readonly number[];
	/** Control tokens included, as they are spelled. */
	readonly text: string;
	/** Mean share of a query head's attention that fell on it, over all memory heads and tokens: 0 to 1. */
	readonly mass: number;
	/** The same in each memory layer, the one with the most first. */
	readonly layers: readonly { readonly layer: number; readonly mass: number }[];
	/** The same for each key/value head that recalls, the most first. */
	readonly heads: readonly { readonly layer: number; readonly head: number; readonly mass: number }[];
}

/** On what one token laid its attention: in each layer and query head softmax weights, 1 in all with the other parts. */
export interface TokenAttention {
	/** Index of the token in the stream. */
	readonly token: number;
	readonly layers: number;
	/** Query heads of a layer. */
	readonly heads: number;
	/** What the token saw, itself included: segment after segment in the policy's order, old before new. */
	readonly entries: readonly AttendedEntry[];
	/** [layers, heads, entries] 0 where the layer's own window hides an entry. */
	readonly weights: Float32Array;
	/** [layers, heads] On blocks recalled from an archive, which each head chooses for itself; `recalled` names them. */
	readonly recalled: Float32Array;
	/** [layers, heads] On the layer's learned sink, from which nothing comes (gpt-oss). */
	readonly learned: Float32Array;
}

/** An entry of the cache, or the token itself, which is none yet when it looks. */
export interface AttendedEntry {
	/** Index in the policy. A token of the same run is counted where it goes. */
	readonly segment: number;
	/** In the segment's buffers; undefined under `recompute`, which keeps none. */
	readonly slot: number | undefined;
	/**
	 * The tokens of the stream that it stands for, [start, end): one, several where they were merged, none where it came
	 * with an archive from elsewhere.
	 */
	readonly start: number;
	readonly end: number;
}

export interface Session {
	readonly policy: Policy;
	readonly positions: Positions;
	readonly stats: SessionStats;
	append(input: string | readonly number[], options?: AppendOptions): Promise<void>;
	/** Appends, and gives −ln p of every token appended (nats), but of a stream's first, which nothing precedes. */
	score(input: string | readonly number[], options?: AppendOptions): Promise<Float32Array>;
	/** Yields token after token; returns how it ended. Breaking off leaves the session usable. */
	generate(options?: GenerateOptions): AsyncGenerator<GeneratedToken, GenerationResult>;
	/**
	 * The earlier passages that the tokens of the last `generate` drew on, the most drawn on first; none under a policy
	 * without `memory`, and none before the first. Neighbouring blocks on which about as much attention fell are one
	 * passage. Counted are tokens that were read one by one, which chose for themselves: not the prompt, and so not the
	 * first token either, which came of it. What has left the archive since is left out.
	 */
	recalled(): readonly RecalledPassage[];
	/**
	 * On what the token that was read last laid its attention, the one whose logits the next token is chosen from;
	 * undefined before the first, after a rewind or a restore, and where `recompute` read nothing. Throws unless the
	 * session was created with `attention`.
	 */
	attention(): TokenAttention | undefined;
	/** Forgets the last `count` tokens. Throws when the policy has not retained enough before them. */
	rewind(count: number): void;
	fork(): Session;
	/** Writes the session: to a file aside first, then renamed; to a stream, which is closed, or aborted on failure. */
	save(target: WriteTarget, options?: SaveOptions): Promise<void>;
	/**
	 * Writes the archive alone, for sessions that begin with it (`Model.createSessionWithArchive`), and with it the
	 * window's whole blocks. A file is written aside first, then renamed. Rejects under a policy without a `memory` that
	 * takes what the window drops, and while there is no whole block.
	 */
	saveArchive(target: WriteTarget, options?: SaveArchiveOptions): Promise<ArchiveReport>;
	dispose(): void;
	[Symbol.dispose](): void;
}
