/** Sessions that do not begin empty: what was saved goes on, and what was archived is there to be recalled from. */
import { formatPolicy, fullSlots, type Policy, type Positions, parsePolicy } from "@tok/kv-cache";
import { kvParts, TokError } from "@tok/runtime";
import { archiveLayout } from "./decoder/archive-layout.ts";
import { cacheShape } from "./decoder/cache-cost.ts";
import { checkIds } from "./decoder/check-ids.ts";
import { type Attached, DecoderState } from "./decoder/decoder-state.ts";
import { nextTurn } from "./later.ts";
import type { ArchiveFileOptions, ModelInfo, RestoreOptions, Session } from "./model.ts";
import { checkArchive, openArchive } from "./session/archive-file.ts";
import { decodeCache, decodedShape } from "./session/decode-cache.ts";
import { DecoderSession } from "./session/session.ts";
import { openSession } from "./session/session-file.ts";
import type { SessionModel } from "./session/session-model.ts";

export type CreateState = (policy: Policy, positions: Positions) => DecoderState;
/** @param attached What an archive holds, which it begins with. */
export type CreateWithArchive = (policy: Policy, positions: Positions, attached: Attached) => DecoderState;

/** What a new session begins with besides its state. */
export interface Beginning {
	readonly chunk: number;
	readonly pinned: readonly number[];
}

/** How the model makes a session; in a batch it does so otherwise. */
export interface Opening {
	begin(create: CreateState): { readonly state: DecoderState } & Beginning;
	open(state: DecoderState, beginning: Beginning): Session;
	readonly createState: CreateWithArchive;
}

type InfoModel = SessionModel & { readonly info: ModelInfo };

export async function sessionWithArchive(
	model: InfoModel,
	source: string | Blob,
	{ signal, onProgress }: ArchiveFileOptions,
	{ begin, open, createState }: Opening,
): Promise<Session> {
	const archive = await openArchive(source, signal);
	const { path } = archive;
	try {
		const { state, ...rest } = begin((policy, positions) => {
			const layout = archiveLayout(policy);
			if (!layout?.portable)
				throw new TokError(
					"lm",
					`${path}: expected a policy whose memory takes what the window drops, got ${formatPolicy(policy)}. ` +
						"Write one such as sink:4,memory:4096/8x16,rolling:1020.",
				);
			checkArchive(path, archive.header, {
				...layout,
				headDim: model.info.headDim,
				model: model.fingerprint(),
				precision: model.info.precision,
				heads: kvParts(
					cacheShape(model.engine.config, policy, fullSlots(policy), model.engine.remembering),
					layout.segment,
				),
			});
			checkIds(archive.ids, model.info.vocabularySize);
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
			model.engine.checkOpen();
			return open(state, rest);
		} catch (error) {
			state.dispose();
			throw error;
		}
	} finally {
		archive.close();
	}
}

export async function restoredSession(
	model: InfoModel,
	source: string | Blob,
	{ policy, chunk, attention }: RestoreOptions & { readonly chunk: number },
): Promise<Session> {
	const saved = await openSession(source);
	try {
		const { header, path } = saved;
		const { precision, vocabularySize } = model.info;
		expectSame(path, "model", model.fingerprint(), header.model, "Load the model that it was saved with.");
		expectSame(path, "precision", precision, header.precision, `Load the model as ${header.precision}.`);
		const expected = policy === undefined ? header.policy : formatPolicy(policy);
		expectSame(path, "policy", expected, header.policy, "Restore it with its own policy.");
		expectSame(path, "logits", header.logits === 0 ? 0 : vocabularySize, header.logits);
		const { forgotten = [] } = saved.attentionMass ?? {};
		const { tail, pending, attached, blocks } = header;
		checkIds([...tail, ...pending, ...attached, ...(blocks?.ids ?? []), ...forgotten], vocabularySize);
		const { kvFormats } = model.engine.runtime;
		const shape = decodedShape(header.shape, kvFormats);
		const { recalled, attentionMass } = saved;
		const parts = { ...header, shape, recalled, attention, attentionMass };
		const state = DecoderState.restore(model.engine, parsePolicy(header.policy), header.cache, parts);
		try {
			await state.store.load(decodeCache(header.shape, kvFormats, saved.cache()));
			return new DecoderSession(model, state, chunk, {
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
