/** `tok read`: reads a text once and keeps what it leaves as an archive, to be asked about as often as one likes. */
import { formatPolicy } from "@tok/kv-cache";
import type { ArchiveFormat, ArchiveReport, Session } from "@tok/lm";
import type { Command, Context } from "../command.ts";
import { fail } from "../errors.ts";
import { write, writeJson } from "../io.ts";
import { memoryFlag, policyForText, readMemoryFlag, settingsFor } from "../memory-flags.ts";
import { readText } from "../read-input.ts";
import { checkSavePath } from "../sampling-flags.ts";
import {
	defined,
	jsonFlag,
	modelFlag,
	policyHint,
	readPolicy,
	readRunFlags,
	runFlags,
} from "../shared-flags.ts";
import { formatBytes, formatCache, formatCount, formatRate, rate } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { openSession, prepare, withModel } from "../with-model.ts";

/** Chunks that are appended at a time. */
const chunksAtATime = 32;

export const read: Command = {
	name: "read",
	description: "Read a text once and keep what it leaves, for chat and generate to recall",
	args: {
		...modelFlag,
		file: {
			type: "positional",
			required: true,
			valueHint: "file",
			description: "UTF-8 text; - for standard input",
		},
		save: { type: "string", required: true, valueHint: "file", description: "The archive to write" },
		format: {
			type: "string",
			valueHint: "format",
			description:
				"int8, float32, or int4: half of int8's file, recalled nearly as well. Default: int8 in fast",
		},
		policy: {
			type: "string",
			valueHint: "policy",
			description: `${policyHint}. Default: sink:4,memory:N/8x16,rolling:1020 with room for all of the text`,
		},
		...memoryFlag,
		...runFlags,
		...jsonFlag,
	},
	examples: [
		["tok read book.txt --save book.tokmem", "Read the book once …"],
		["tok chat --memory book.tokmem", "… and ask about it for ever; /recall shows the passages."],
		[
			"tok read book.txt --save book.tokmem --memory-heads 10,14,17,20",
			"Archive four layers alone: of 30 that is an eighth of the memory and of the file, and less is found.",
		],
		["tok read book.txt --save book.tokmem --format int4", "A file of half the size."],
		["tok read second.txt --memory book.tokmem --save both.tokmem", "A second book on top of the first."],
	],
	async run(context) {
		const { flags, io, services } = context;
		const save = flags.text("save");
		if (save === undefined) fail("--save is needed. See tok read --help.");
		const format = flags.text("format");
		if (format !== undefined && !isFormat(format))
			fail(`--format: expected one of ${formats.join(", ")}, got ${format}.`);
		const chosen = readPolicy(flags);
		if (chosen !== undefined && !chosen.some(({ recall }) => recall !== undefined))
			fail(
				`--policy: expected one with memory, got ${formatPolicy(chosen)}. Write memory:TOKENS/BLOCKSxSIZE before rolling.`,
			);
		const archive = await readMemoryFlag(flags, services);
		const settings = settingsFor(readRunFlags(flags), archive);
		await checkSavePath("--save", save);
		const text = await readText("FILE", flags.text("file") ?? "-", io);
		await withModel(context, settings, async (model) => {
			const ids = [...model.tokenizer.encodeChunks(text)].flat();
			const policy = chosen ?? policyForText(ids.length, archive);
			const options = { policy, ...defined({ positions: settings.positions, chunk: settings.chunk }) };
			const session = await openSession(context, model, archive?.path, options);
			try {
				await prepare(context, model, policy);
				const begun = performance.now();
				await readThrough(context, session, ids, chunksAtATime * (settings.chunk ?? 128));
				const tokensPerSecond = rate(ids.length, performance.now() - begun);
				const report = await saveUnder(context, session, save, format);
				if (flags.has("json"))
					return await writeJson(io.stdout, {
						model: model.info.name,
						policy: formatPolicy(policy),
						precision: model.info.precision,
						file: save,
						read: ids.length,
						...report,
						tokensPerSecond,
						rssBytes: process.memoryUsage.rss(),
					});
				await write(io.stdout, describe(save, report, tokensPerSecond));
			} finally {
				session.dispose();
			}
		});
	},
};

async function readThrough(
	{ io }: Context,
	session: Session,
	ids: readonly number[],
	piece: number,
): Promise<void> {
	const progress = new ProgressLine(io.stderr, io.env);
	const begun = performance.now();
	try {
		for (let from = 0; from < ids.length; from += piece) {
			await session.append(ids.slice(from, from + piece), {
				signal: io.signal,
				onProgress(done) {
					const speed = rate(from + done, performance.now() - begun);
					const left = speed === null ? "" : ` · ${formatDuration((ids.length - from - done) / speed)} left`;
					progress.tick(
						`Reading ${formatCount(from + done)} of ${formatCount(ids.length)} tokens · ` +
							`${formatRate(speed)} tok/s · ${formatCache(session.stats)}${left}`,
					);
				},
			});
		}
	} finally {
		progress.clear();
	}
}

const formats: readonly ArchiveFormat[] = ["int4", "int8", "float32"];

function isFormat(text: string): text is ArchiveFormat {
	return formats.some((format) => format === text);
}

async function saveUnder(
	{ io }: Context,
	session: Session,
	path: string,
	format: ArchiveFormat | undefined,
): Promise<ArchiveReport> {
	const progress = new ProgressLine(io.stderr, io.env);
	return session
		.saveArchive(path, {
			format,
			signal: io.signal,
			onProgress: (tokens, total) =>
				progress.tick(`Saving ${formatCount(tokens)} of ${formatCount(total)} tokens to ${path} …`),
		})
		.finally(() => progress.clear());
}

function describe(
	path: string,
	{ tokens, bytes, leftOut }: ArchiveReport,
	tokensPerSecond: number | null,
): string {
	const { sinks, dropped, last } = leftOut;
	const speed = tokensPerSecond === null ? "" : ` at ${formatRate(tokensPerSecond)} tokens/s`;
	const parts = [
		...(sinks > 0 ? [`the first ${formatCount(sinks)}, which are sinks`] : []),
		...(dropped > 0 ? [`the next ${formatCount(dropped)}, for which the memory has no room`] : []),
		...(last > 0 ? [`the last ${formatCount(last)}, which make no whole block`] : []),
	];
	return (
		`${path}: ${formatCount(tokens)} tokens archived in ${formatBytes(bytes)}, read${speed}\n` +
		(parts.length > 0 ? `left out: ${parts.join("; ")}\n` : "")
	);
}

function formatDuration(seconds: number): string {
	if (seconds < 90) return `${Math.ceil(seconds)} s`;
	return `${Math.ceil(seconds / 60)} min`;
}
