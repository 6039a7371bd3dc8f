/** Writes a session's archive to a file of its own: the implementation of `Session.saveArchive`, but for what is pending. */
import { formatPolicy } from "@tok/kv-cache";
import { kvParts, TokError } from "@tok/runtime";
import type { DecoderState } from "../decoder/decoder-state.ts";
import type { ArchiveReport, SaveArchiveOptions, WriteTarget } from "../model.ts";
import { isArchiveFormat } from "./archive-codes.ts";
import { writeArchive } from "./archive-file.ts";
import type { SessionModel } from "./session-model.ts";

export async function saveArchive(
	target: WriteTarget,
	state: DecoderState,
	model: SessionModel,
	options: SaveArchiveOptions,
): Promise<ArchiveReport> {
	const { archive, store, cache } = state;
	const extent = archive?.extent();
	if (archive === undefined || extent === undefined)
		throw new TokError(
			"lm",
			"saveArchive: expected a policy whose memory takes what the window drops, got " +
				`${formatPolicy(cache.policy)}. Write one such as sink:4,memory:4096/8x16,rolling:1020.`,
		);
	const { blocks, dropped, sinks, rest } = extent;
	const { segment, blockSize, origin, chooses } = archive.layout;
	const tokens = blocks.length * blockSize;
	if (tokens === 0)
		throw new TokError(
			"lm",
			`saveArchive: expected at least a block of ${blockSize} tokens besides ${origin} sinks, got ` +
				`${cache.length} tokens that were read. Read more first.`,
		);
	const { config, precision } = model.engine;
	const { format = precision === "fast" ? "int8" : "float32" } = options;
	if (!isArchiveFormat(format))
		throw new TokError(
			"lm",
			`saveArchive: expected the format "int4", "int8" or "float32", got "${String(format)}". Leave it out for what the precision has.`,
		);
	const header = {
		model: model.fingerprint(),
		precision,
		tokens,
		blockSize,
		heads: kvParts(store.shape, segment),
		headDim: config.headDim,
		format,
		...(chooses && { recalls: blocks.map(({ arrived }) => archive.recalls(arrived / blockSize)) }),
	};
	const ids = blocks.flatMap(({ arrived }) =>
		state.archivedIds({ start: arrived, end: arrived + blockSize }),
	);
	const bytes = await writeArchive(target, header, ids, state.archiveRows(extent), options);
	return { tokens, bytes, leftOut: { sinks, dropped: dropped * blockSize, last: rest } };
}
