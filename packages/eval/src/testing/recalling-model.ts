/**
 * A model whose memory is known: it copies. Of the longest ending of its stream that occurred before, within the last
 * `memory` tokens, it says the token that followed there last; where no ending of four tokens did, it says "?". So it
 * answers a question in the planted words exactly when the sentence is that near, and no other.
 *
 * An archive is its text, which a stream then begins with.
 *
 * Tokens are bytes, except that a digit takes a space before it along, as in some vocabularies; 256 begins a text.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import type { GeneratedToken, GenerateOptions, GenerationResult, Model, Session, Tokenizer } from "@tok/lm";

const begin = 256;
/** " 0" is this, " 1" the next. */
const spacedDigit = 257;
const vocabularySize = spacedDigit + 10;
const leastEnding = 4;

export interface RecallingModel extends Model {
	/** The streams of sessions, in the order in which they were opened; forks, marked, among them. */
	readonly streams: { readonly ids: number[]; readonly fork: boolean }[];
	/** Sessions that are open now. */
	readonly open: number;
}

/** @param memory Tokens that a policy lets the model look back on. Defaults to the N of rolling:N, else everything. */
export function recallingModel(memory: (policy: Policy) => number = rollingTokens): RecallingModel {
	const streams: { ids: number[]; fork: boolean }[] = [];
	let open = 0;

	function openSession(policy: Policy, ids: number[], fork: boolean): Session {
		streams.push({ ids, fork });
		open++;
		let disposed = false;
		async function* generate({
			prompt = [],
			maxTokens = 1,
			signal,
		}: GenerateOptions = {}): AsyncGenerator<GeneratedToken, GenerationResult> {
			if (!signal?.aborted) await session.append(prompt);
			for (let tokens = 0; ; tokens++) {
				if (signal?.aborted) return { finishReason: "abort", tokens };
				if (tokens === maxTokens) return { finishReason: "length", tokens };
				const id = predict(ids.slice(-memory(policy)));
				ids.push(id);
				yield { id, text: tokenizer.tokenText(id) };
			}
		}
		const session: Session = {
			policy,
			positions: "in-cache",
			get stats() {
				return { length: ids.length, retained: ids.length, evicted: 0, attached: 0, bytes: 0, diskBytes: 0 };
			},
			async append(input, { signal, onProgress } = {}) {
				await new Promise((done) => setImmediate(done));
				signal?.throwIfAborted();
				for (const id of typeof input === "string" ? tokenizer.encode(input) : input) ids.push(id);
				onProgress?.(input.length, input.length);
			},
			score: () => {
				throw new Error("evaluations score no sessions");
			},
			generate,
			rewind: () => undefined,
			fork: () => openSession(policy, [...ids], true),
			attention: () => undefined,
			recalled: () => [],
			save: async () => undefined,
			saveArchive: () => {
				throw new Error("evaluations save no archives");
			},
			dispose() {
				if (!disposed) open--;
				disposed = true;
			},
			[Symbol.dispose]: () => session.dispose(),
		};
		return session;
	}

	const model: RecallingModel = {
		streams,
		get open() {
			return open;
		},
		info: {
			name: "recalling",
			architecture: "fake",
			layers: 1,
			hiddenSize: 1,
			queryHeads: 1,
			kvHeads: 1,
			headDim: 1,
			vocabularySize,
			contextLength: undefined,
			precision: "exact",
			memoryHeads: [],
		},
		tokenizer,
		chatTemplate: undefined,
		cacheBytes: () => 0,
		prepare: async () => undefined,
		createSessionWithArchive: async (archive, { policy }) =>
			openSession(policy, [...tokenizer.encode(archive as string)], false),
		createBatch: () => {
			throw new Error("evaluations create no batches");
		},
		createSession: ({ policy }) => openSession(policy, [], false),
		restoreSession: async () => {
			throw new Error("evaluations restore no sessions");
		},
		async negativeLogLikelihoods(ids, { policy, from = 1, signal, onProgress }) {
			await new Promise((done) => setImmediate(done));
			signal?.throwIfAborted();
			onProgress?.(ids.length - 1);
			// One nat where the policy looks back on eight tokens at the most, half a nat where on more.
			const nats = memory(policy) <= 8 ? 1 : 0.5;
			return Float32Array.from(
				{ length: ids.length - from },
				(_, index) => nats + (ids[from + index] as number) / 1024,
			);
		},
		dispose: async () => undefined,
		[Symbol.asyncDispose]: () => model.dispose(),
	};
	return model;
}

function rollingTokens(policy: Policy): number {
	return Number(/rolling:(\d+)/.exec(formatPolicy(policy))?.[1] ?? Number.MAX_SAFE_INTEGER);
}

/** What followed the longest ending of `ids` where that occurred last before; "?" where it did not. */
function predict(ids: readonly number[]): number {
	let best = { length: leastEnding - 1, next: "?".charCodeAt(0) };
	for (let end = ids.length - 2; end >= 0; end--) {
		let length = 0;
		while (length <= end && ids[end - length] === ids[ids.length - 1 - length]) length++;
		if (length > best.length) best = { length, next: ids[end + 1] as number };
	}
	return best.next;
}

const tokenizer: Tokenizer = {
	vocabularySize,
	bosId: begin,
	eosId: undefined,
	endOfTextIds: new Set(),
	encode: (text, { addSpecialTokens = true } = {}) => [
		...(addSpecialTokens ? [begin] : []),
		...(text.match(/ \d|./gs) ?? []).flatMap((piece) =>
			/ \d/.test(piece) ? [spacedDigit + Number(piece)] : [...Buffer.from(piece)],
		),
	],
	*encodeChunks(text, options) {
		yield tokenizer.encode(text, options);
	},
	decode: (ids) => Array.from(ids, tokenText).join(""),
	createDetokenizer: () => ({ push: tokenText, flush: () => "" }),
	tokenText,
	tokenBytes: (id) => Buffer.from(tokenText(id)),
	tokenId: () => undefined,
	isSpecial: (id) => id === begin,
};

function tokenText(id: number): string {
	if (id === begin) return "";
	return id < begin ? String.fromCharCode(id) : ` ${id - spacedDigit}`;
}
