/**
 * A model whose answers are known: it counts. Tokens are bytes (ids 0–255), 256 begins a turn, 257 ends one; after
 * the token t comes t + 1, and after the sixth token of a generation the end of the turn, which is said and not
 * read. For tests of the command
 * without weights.
 */

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { formatPolicy, type Policy } from "@tok/kv-cache";
import {
	type ChatTemplate,
	type FinishReason,
	type GeneratedToken,
	type GenerateOptions,
	type GenerationResult,
	type LoadModelOptions,
	type Model,
	type Session,
	type SessionOptions,
	TokError,
	type Tokenizer,
} from "@tok/lm";

const begin = 256;
const end = 257;

export interface FakeModel extends Model {
	/** Every token that any session has read or generated, in order. */
	readonly stream: number[];
	/** What sessions were created with. */
	readonly sessions: SessionOptions[];
	/** Archives that sessions were created with. */
	readonly attached: string[];
	/** Of `loadModel`. */
	loadedWith: Pick<LoadModelOptions, "precision" | "memoryHeads">;
	disposed: boolean;
}

/** @param onToken Called with the tokens read so far. */
export function fakeModel(onToken: (count: number) => void = () => undefined): FakeModel {
	const stream: number[] = [];
	const sessions: SessionOptions[] = [];
	const attached: string[] = [];
	const model: FakeModel = {
		attached,
		stream,
		sessions,
		loadedWith: {},
		disposed: false,
		info: {
			name: "fake",
			architecture: "fake",
			layers: 1,
			hiddenSize: 1,
			queryHeads: 1,
			kvHeads: 1,
			headDim: 1,
			vocabularySize: 258,
			contextLength: undefined,
			precision: "exact",
			memoryHeads: [{ layer: 0, heads: [0] }],
		},
		tokenizer: fakeTokenizer(),
		chatTemplate,
		cacheBytes: () => 9000,
		prepare: async () => undefined,
		createBatch: () => {
			throw new Error("the command creates no batches");
		},
		createSession(options) {
			sessions.push(options);
			const session = createFakeSession(stream, options.policy, onToken);
			if (Array.isArray(options.pin)) stream.push(...options.pin);
			return session;
		},
		async createSessionWithArchive(source, { onProgress, signal, ...options }) {
			signal?.throwIfAborted();
			const path = asPath(source);
			if (!existsSync(path)) throw new TokError("lm", `${path}: no archive`);
			onProgress?.(16, 16);
			attached.push(path);
			return model.createSession(options);
		},
		async restoreSession(source, { policy } = {}) {
			const saved = await readFile(asPath(source), "utf8");
			if (policy !== undefined && formatPolicy(policy) !== saved) throw new TokError("lm", "another policy");
			return createFakeSession(stream, [], onToken);
		},
		async negativeLogLikelihoods(ids, { from = 1 }) {
			return new Float32Array(ids.length - from).fill(Math.log(2));
		},
		async dispose() {
			model.disposed = true;
		},
		[Symbol.asyncDispose]: () => model.dispose(),
	};
	return model;
}

function createFakeSession(stream: number[], policy: Policy, onToken: (count: number) => void): Session {
	let length = 0;
	const push = (id: number): void => {
		stream.push(id);
		length++;
		onToken(stream.length);
	};
	async function* generate({
		maxTokens = Infinity,
		signal,
		ignoreEndOfText = false,
		speculate = 0,
	}: GenerateOptions = {}): AsyncGenerator<GeneratedToken, GenerationResult> {
		// It guesses every other token right.
		const counts = (tokens: number) => ({
			guessed: tokens,
			accepted: tokens >> 1,
			runs: tokens - (tokens >> 1),
		});
		const finish = (finishReason: FinishReason, tokens: number): GenerationResult => ({
			finishReason,
			tokens,
			...(speculate > 0 && { speculation: counts(tokens) }),
		});
		for (let tokens = 0; ; tokens++) {
			if (signal?.aborted) return finish("abort", tokens);
			if (tokens >= maxTokens) return finish("length", tokens);
			const ends = tokens === 6 && !ignoreEndOfText;
			const id = ends ? end : ((stream.at(-1) ?? 0) + 1) % 256;
			if (!ends) push(id);
			await new Promise((done) => setImmediate(done));
			yield { id, text: ends ? "" : String.fromCharCode(id) };
			if (ends) return finish("stop", tokens + 1);
		}
	}
	const session: Session = {
		policy,
		positions: "in-cache",
		get stats() {
			return {
				length,
				attached: 0,
				retained: Math.min(length, 8),
				evicted: Math.max(0, length - 8),
				bytes: 64,
				diskBytes: 16,
			};
		},
		async append(input, { signal, onProgress } = {}) {
			for (const id of input) {
				signal?.throwIfAborted();
				push(Number(id));
			}
			onProgress?.(input.length, input.length);
		},
		score: () => {
			throw new Error("the command scores no sessions");
		},
		generate,
		// It went back to its first tokens.
		attention: () => undefined,
		recalled: () =>
			policy.some(({ recall }) => recall !== undefined)
				? [
						{
							source: "stream" as const,
							start: 4,
							ids: [65, 10, 66],
							text: "A\n\x1b[31mB",
							mass: 0.25,
							layers: [{ layer: 0, mass: 0.25 }],
							heads: [{ layer: 0, head: 0, mass: 0.25 }],
						},
					]
				: [],
		rewind: () => undefined,
		fork: () => session,
		async saveArchive(target, { signal, onProgress, format = "usual" } = {}) {
			signal?.throwIfAborted();
			const tokens = length - (length % 16);
			onProgress?.(tokens, tokens);
			await writeFile(asPath(target), `${format}: ${stream.join()}`);
			return { tokens, bytes: stream.join().length, leftOut: { sinks: 4, dropped: 0, last: length % 16 } };
		},
		save: (target) => writeFile(asPath(target), formatPolicy(policy)),
		dispose: () => undefined,
		[Symbol.dispose]: () => undefined,
	};
	return session;
}

export function fakeTokenizer(): Tokenizer {
	const names = new Map([
		["<b>", begin],
		["<e>", end],
	]);
	const encode: Tokenizer["encode"] = (text, { parseSpecial = false } = {}) =>
		text
			.split(/(<[be]>)/)
			.flatMap((part) =>
				parseSpecial ? (names.get(part) ?? [...Buffer.from(part)]) : [...Buffer.from(part)],
			);
	const tokenText = (id: number): string =>
		[...names].find(([, known]) => known === id)?.[0] ?? String.fromCharCode(id);
	return {
		vocabularySize: 258,
		bosId: begin,
		eosId: end,
		endOfTextIds: new Set([end]),
		encode,
		*encodeChunks(text, options) {
			yield encode(text, options);
		},
		decode: (ids) => Array.from(ids, tokenText).join(""),
		createDetokenizer: () => ({ push: tokenText, flush: () => "" }),
		tokenText,
		tokenBytes: (id) => Buffer.from(tokenText(id)),
		tokenId: (token) => names.get(token),
		isSpecial: (id) => id >= begin,
	};
}

/** `<b>role:content<e>` per message. */
const chatTemplate: ChatTemplate = {
	source: "fake",
	assistantEnd: "<e>|",
	render: (messages, { addGenerationPrompt = true } = {}) =>
		messages.map(({ role, content }) => `<b>${role[0]}:${content}<e>|`).join("") +
		(addGenerationPrompt ? "<b>a:" : ""),
	prepare: async () => {},
	renderNext: (_, next) => ({ text: chatTemplate.render(next), continues: true }),
};

/** The command knows files alone. */
function asPath(place: unknown): string {
	if (typeof place === "string") return place;
	throw new TokError("lm", "expected a path");
}
