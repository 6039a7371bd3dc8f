/**
 * A session that outlives the device it computes on. It notes the tokens that it is given and chooses; when the device
 * is lost they are read again on the next one, and what was under way goes on. Every so many tokens a snapshot takes
 * their place, so that neither the notes nor the reading grow. Where there is no device to lose, nothing is noted.
 *
 * What it holds after a loss is what it held before, up to rounding (S4 of `@tok/lm`). Choices that are drawn at random
 * go on with other numbers than they would have.
 */
import { fullSlots, type Policy, type Positions } from "@tok/kv-cache";
import type {
	AppendOptions,
	GeneratedToken,
	GenerateOptions,
	Model,
	RecalledPassage,
	SaveOptions,
	Session,
	SessionOptions,
	SessionStats,
	TokenAttention,
} from "@tok/lm";

/** A model on its device. */
export interface Held {
	readonly model: Model;
	/** Resolves when everything on the device is gone; undefined where nothing can be lost. */
	readonly lost: Promise<string> | undefined;
}

/** Who has the model, and opens it on another device when one is lost. */
export interface Host {
	/** The model on a device that is there; waits while it is opened. Rejects when it can no longer be. */
	current(): Promise<Held>;
	/** Told while tokens are read again. */
	reread(read: number, total: number): void;
}

/** Tokens that were given or chosen together. */
interface Piece {
	readonly ids: number[];
	readonly turn: boolean;
}

interface Beginning {
	readonly snapshot: Blob | undefined;
	/** Sessions tell of attention. */
	readonly attention: boolean;
}

type Make = (model: Model) => Promise<Session>;

/** Milliseconds in which a browser says that the device is lost, once a call on it has failed. */
const GRACE = 500;
/** Losses during one call after which it fails. */
const MOST_LOSSES = 3;
/** Tokens between snapshots, besides as many as the cache holds: about what is read again costs what a snapshot does. */
const LEAST_NOTED = 512;

export class LastingSession {
	readonly #host: Host;
	readonly #make: Make;
	readonly #attention: boolean;
	#held: Held;
	#session: Session;
	#snapshot: Blob | undefined;
	/** Since the snapshot, or the beginning. */
	#pieces: Piece[] = [];
	#noted = 0;

	private constructor(
		host: Host,
		make: Make,
		held: Held,
		session: Session,
		{ snapshot, attention }: Beginning,
	) {
		this.#host = host;
		this.#make = make;
		this.#attention = attention;
		this.#held = held;
		this.#session = session;
		this.#snapshot = snapshot;
	}

	/** Builds the graph of the policy, which takes a while the first time. */
	static open(host: Host, options: SessionOptions): Promise<LastingSession> {
		const { attention = false } = options;
		return LastingSession.#begin(host, { snapshot: undefined, attention }, async (model) => {
			await model.prepare(options.policy, { attention });
			return model.createSession(options);
		});
	}

	static restore(host: Host, file: Blob): Promise<LastingSession> {
		return LastingSession.#begin(host, { snapshot: file, attention: false }, (model) =>
			model.restoreSession(file),
		);
	}

	static async #begin(host: Host, beginning: Beginning, make: Make): Promise<LastingSession> {
		for (let losses = 0; ; losses++) {
			const held = await host.current();
			try {
				return new LastingSession(host, make, held, await make(held.model), beginning);
			} catch (error) {
				if (losses === MOST_LOSSES || !(await isLost(held))) throw error;
			}
		}
	}

	get policy(): Policy {
		return this.#session.policy;
	}

	get positions(): Positions {
		return this.#session.positions;
	}

	get stats(): SessionStats {
		return this.#session.stats;
	}

	/** As `Session.append`. After an abort it holds what was read until then. */
	append(ids: readonly number[], options: AppendOptions = {}): Promise<void> {
		const read = (session: Session): Promise<void> => session.append(ids, options);
		return this.#lasting((session) => this.#noting(session, ids, options, read), options.signal);
	}

	/** As `Session.score`. */
	score(ids: readonly number[], options: AppendOptions = {}): Promise<Float32Array> {
		const read = (session: Session): Promise<Float32Array> => session.score(ids, options);
		return this.#lasting((session) => this.#noting(session, ids, options, read), options.signal);
	}

	/** As `Session.generate`; how it ended is not told. */
	async *generate({
		seed,
		maxTokens,
		...options
	}: Omit<GenerateOptions, "prompt">): AsyncGenerator<GeneratedToken, void> {
		let left = maxTokens ?? Number.POSITIVE_INFINITY;
		// Given again it would draw the same numbers again.
		let fresh = seed === undefined ? {} : { seed };
		for (let losses = 0; ; ) {
			await this.#lasting(async () => {});
			const held = this.#held;
			const most = left === Number.POSITIVE_INFINITY ? {} : { maxTokens: left };
			const generation = this.#session.generate({ ...options, ...most, ...fresh });
			try {
				for (;;) {
					const { value, done } = await generation.next();
					if (done) return;
					fresh = {};
					losses = 0;
					left--;
					if (!held.model.tokenizer.endOfTextIds.has(value.id)) this.#note([value.id]);
					yield value;
					// Between characters, which may span tokens.
					if (this.#noted >= 2 * this.#most && value.text !== "") break;
				}
			} catch (error) {
				if (options.signal?.aborted || losses++ === MOST_LOSSES || !(await isLost(held))) throw error;
			} finally {
				await generation.return({ finishReason: "abort", tokens: 0 }).catch(() => {});
			}
		}
	}

	/** As `Session.attention`. */
	attention(): TokenAttention | undefined {
		return this.#session.attention();
	}

	recalled(): readonly RecalledPassage[] {
		return this.#session.recalled();
	}

	/** The bytes of a session file. */
	save(options?: SaveOptions): Promise<Blob> {
		return this.#lasting((session) => saved(session, options));
	}

	dispose(): void {
		this.#session.dispose();
	}

	get #most(): number {
		return fullSlots(this.policy).reduce((sum, slots) => sum + slots, LEAST_NOTED);
	}

	/** Performs on a session that is there: once more when its device is lost meanwhile. */
	async #lasting<T>(perform: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
		for (let losses = 0; ; losses++) {
			const held = await this.#host.current();
			try {
				if (held !== this.#held) await this.#rebuild(held);
				if (this.#noted >= this.#most) await this.#keep();
				return await perform(this.#session);
			} catch (error) {
				if (signal?.aborted || losses === MOST_LOSSES || !(await isLost(held))) throw error;
			}
		}
	}

	/** Makes the session again on another device. */
	async #rebuild(held: Held): Promise<void> {
		this.#session.dispose();
		const snapshot = this.#snapshot;
		this.#session = await (snapshot === undefined
			? this.#make(held.model)
			: held.model.restoreSession(snapshot, { attention: this.#attention }));
		const total = this.#noted;
		let before = 0;
		for (const { ids, turn } of this.#pieces) {
			const from = before;
			await this.#session.append(ids, { turn, onProgress: (read) => this.#host.reread(from + read, total) });
			before += ids.length;
		}
		this.#held = held;
	}

	/** Takes a snapshot in place of what was noted. */
	async #keep(): Promise<void> {
		this.#snapshot = await saved(this.#session);
		this.#pieces = [];
		this.#noted = 0;
	}

	/** Notes what came of reading: all of it, or what was read before an abort. */
	async #noting<T>(
		session: Session,
		ids: readonly number[],
		{ turn, signal }: AppendOptions,
		read: (session: Session) => Promise<T>,
	): Promise<T> {
		const before = session.stats.length;
		try {
			const result = await read(session);
			this.#note(ids, turn);
			return result;
		} catch (error) {
			if (signal?.aborted) this.#note(ids.slice(0, session.stats.length - before), turn);
			throw error;
		}
	}

	#note(ids: readonly number[], turn = false): void {
		if (this.#held.lost === undefined) return;
		if (ids.length === 0) return;
		this.#noted += ids.length;
		const last = this.#pieces.at(-1);
		if (turn || last === undefined) this.#pieces.push({ ids: [...ids], turn });
		else last.ids.push(...ids);
	}
}

async function saved(session: Session, options?: SaveOptions): Promise<Blob> {
	const parts: Uint8Array<ArrayBuffer>[] = [];
	const target = new WritableStream<Uint8Array>({ write: (part) => void parts.push(new Uint8Array(part)) });
	await session.save(target, options);
	return new Blob(parts, { type: "application/octet-stream" });
}

/** Waits a moment: a call on a lost device fails before the browser says why. */
async function isLost({ lost }: Held): Promise<boolean> {
	if (lost === undefined) return false;
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<false>((resolve) => {
		timer = setTimeout(() => resolve(false), GRACE);
	});
	const answer = await Promise.race([lost.then(() => true as const), late]);
	clearTimeout(timer);
	return answer;
}
