/**
 * A session in a file: a sealed one whose body is the logits, float32, what the last generation recalled, float64
 * [blocks, heads], the attention that fell on the window, float64 [heads, slots], and the cache's buffers. Written aside
 * and renamed; read back only when every byte is there and unchanged.
 */
import { type CacheSnapshot, parsePolicy } from "@tok/kv-cache";
import { type KvShape, kvParts } from "@tok/runtime";
import type { BlocksSnapshot } from "../decoder/archive-blocks.ts";
import { archiveLayout } from "../decoder/archive-layout.ts";
import type { MassSnapshot } from "../decoder/attention-mass.ts";
import type { HeldChoice } from "../decoder/held-choice.ts";
import type { TallySnapshot } from "../decoder/recall-tally.ts";
import { openBytes, writeBytes } from "../formats/open-bytes.ts";
import { bodyOf, checkSeal, openSealed, type Seal, type SealedFile, seal } from "../formats/sealed-file.ts";
import type { Precision, SessionInfo, WriteTarget } from "../model.ts";
import { isRandomState, type RandomState } from "../sampling/random.ts";

const SESSION: Seal = { magic: "TOKSESS1", what: "session file", remedy: "Save the session again." };

export interface SessionHeader {
	/** `modelFingerprint` of the model that computed the cache. */
	readonly model: string;
	readonly precision: Precision;
	/** As `formatPolicy` writes it. */
	readonly policy: string;
	readonly cache: CacheSnapshot;
	readonly shape: KvShape;
	/** The last tokens of the stream. */
	readonly tail: readonly number[];
	/** The tokens with which the archive began. */
	readonly attached: readonly number[];
	/** Tokens that were chosen or given and not read yet. */
	readonly pending: readonly number[];
	readonly random: RandomState | null;
	/** Length of the logits: the vocabulary's, or 0 when there are none. */
	readonly logits: number;
	readonly cacheBytes: number;
	/** What the app has given to be kept with it; absent when it gave nothing. */
	readonly data?: unknown;
	/** What the last generation recalled, but for the shares, of which there are so many. Defaults to nothing. */
	readonly recalled?: Omit<TallySnapshot, "mass"> & { readonly shares: number };
	/** What fell on the window, but for the sums, of which there are so many. Defaults to nothing. */
	readonly attentionMass?: Omit<MassSnapshot, "mass"> & { readonly sums: number };
	/** The choice of blocks that holds. Defaults to none. */
	readonly held?: HeldChoice | undefined;
	/** Of an archive that the least recalled blocks leave. Defaults to none. */
	readonly blocks?: BlocksSnapshot | undefined;
}

export interface SavedSession {
	/** For errors. */
	readonly path: string;
	readonly header: SessionHeader;
	readonly logits: Float32Array | undefined;
	readonly recalled: TallySnapshot | undefined;
	readonly attentionMass: MassSnapshot | undefined;
	/** The cache's bytes, piece by piece. */
	cache(): Iterable<Uint8Array>;
	close(): void;
}

/** What a file holds besides its header. */
interface SessionBody {
	readonly logits: Float32Array | undefined;
	readonly recalled: TallySnapshot | undefined;
	readonly attentionMass: MassSnapshot | undefined;
	readonly cache: AsyncIterable<Uint8Array>;
}

export async function writeSession(
	target: WriteTarget,
	header: Omit<SessionHeader, "recalled" | "attentionMass">,
	{ logits, recalled, attentionMass, cache }: SessionBody,
): Promise<void> {
	const { mass, ...counts } = recalled ?? {};
	const shares = mass?.length ?? 0;
	async function* body(): AsyncGenerator<Uint8Array> {
		for (const numbers of [logits, mass, attentionMass?.mass])
			if (numbers !== undefined) yield new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
		yield* cache;
	}
	const whole = {
		...header,
		...(shares > 0 && { recalled: { ...counts, shares } }),
		...(attentionMass && {
			attentionMass: { forgotten: attentionMass.forgotten, sums: attentionMass.mass.length },
		}),
	};
	await writeBytes(target, seal(SESSION, whole, body()));
}

/** Opens a saved session. Rejects with a TokError for what is none, was cut or was altered. */
export async function openSession(from: string | Blob): Promise<SavedSession> {
	const file = openSealed(await openBytes(from), SESSION);
	const { source, start, end } = file;
	try {
		// Nothing is believed before all of it is found to be what was written.
		for (const _ of checkSeal(file));
		const header = checkedHeader(file);
		const { recalled: counts, attentionMass } = header;
		const sharesStart = start + 4 * header.logits;
		const sumsStart = sharesStart + 8 * (counts?.shares ?? 0);
		const cacheStart = sumsStart + 8 * (attentionMass?.sums ?? 0);
		if (cacheStart + header.cacheBytes !== end) throw file.damaged("it is not as long as its header says");
		return {
			path: source.path,
			header,
			recalled: counts && {
				...counts,
				mass: new Float64Array(source.read(sharesStart, sumsStart - sharesStart).buffer),
			},
			attentionMass: attentionMass && {
				forgotten: attentionMass.forgotten,
				mass: new Float64Array(source.read(sumsStart, cacheStart - sumsStart).buffer),
			},
			logits:
				header.logits === 0 ? undefined : new Float32Array(source.read(start, 4 * header.logits).buffer),
			cache: () => bodyOf(file, cacheStart),
			close: () => source.close(),
		};
	} catch (error) {
		source.close();
		throw error;
	}
}

/**
 * What a session file says of itself, and what an app has kept in it, read from its header alone: damage further on is
 * found when the session is restored. Rejects with a TokError for what is no session.
 */
export async function inspectSession(source: string | Blob): Promise<SessionInfo> {
	const file = openSealed(await openBytes(source), SESSION);
	try {
		const { model, precision, policy, shape, data } = checkedHeader(file);
		const { path, size } = file.source;
		return { path, model, precision, policy, memoryHeads: memoryHeads(policy, shape), bytes: size, data };
	} finally {
		file.source.close();
	}
}

function memoryHeads(policy: string, shape: KvShape): SessionInfo["memoryHeads"] {
	const archive = archiveLayout(parsePolicy(policy));
	return archive && kvParts(shape, archive.segment);
}

/** Checks the fields whose values are used here; the others are compared with what the model expects. */
function checkedHeader(file: SealedFile): SessionHeader {
	const header = file.header() as Partial<SessionHeader> | null;
	const { model, precision, policy, shape, tail, attached, pending, random, logits, cacheBytes } =
		header ?? {};
	const { recalled, attentionMass, blocks } = header ?? {};
	const valid =
		[model, precision, policy].every((text) => typeof text === "string") &&
		(random === null || isRandomState(random)) &&
		[tail, attached, pending].every((ids) => Array.isArray(ids)) &&
		(recalled === undefined || Array.isArray(recalled?.blocks)) &&
		(blocks === undefined || [blocks?.ids, blocks?.recalls].every((list) => Array.isArray(list))) &&
		(attentionMass === undefined || Array.isArray(attentionMass?.forgotten)) &&
		[logits, cacheBytes, recalled?.shares ?? 0, attentionMass?.sums ?? 0].every(
			(count) => Number.isSafeInteger(count) && (count as number) >= 0,
		);
	const { kinds = [] } = shape ?? {};
	if (!valid || typeof shape !== "object" || shape === null || !Array.isArray(kinds))
		throw file.damaged("its header lacks a field");
	if (kinds.length === 0) return header as SessionHeader;
	// JSON has no undefined, which stands for a segment of the usual kind.
	const usual = kinds.map((kind) => kind ?? undefined);
	return { ...(header as SessionHeader), shape: { ...shape, kinds: usual } };
}
