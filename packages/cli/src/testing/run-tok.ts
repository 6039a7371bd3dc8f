/** Runs the command in-process on captured streams, for tests. */
import { statSync } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import type { Model } from "@tok/lm";
import type { Io, Services } from "../io.ts";
import { run } from "../run.ts";
import { defined } from "../shared-flags.ts";
import { type FakeModel, fakeModel, fakeTokenizer } from "./fake-model.ts";

export interface Outcome {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
	readonly model: FakeModel;
	/** Models that were loaded. */
	readonly loaded: readonly string[];
	/** Whether each runtime was to keep graphs. */
	readonly prepared: readonly boolean[];
	/** Where each runtime was to keep values. */
	readonly disks: readonly (string | undefined)[];
}

export interface TokOptions {
	readonly stdin?: string | Uint8Array;
	/** Abort after this many writes to standard output. */
	readonly abortAfter?: number;
	/** Abort when the fake model has read so many tokens. */
	readonly interruptAfterTokens?: number;
	readonly tty?: { readonly columns: number; readonly rows: number };
	readonly env?: Readonly<Record<string, string>>;
	/** Abort when standard error has said this. */
	readonly abortAt?: RegExp;
	/** Whether standard error is a terminal, of 80 columns. Defaults to false. */
	readonly progress?: boolean;
	/** What the services lend. Defaults to a fake model. */
	readonly lend?: Model;
	/** Defaults to ones that lend a model. */
	readonly services?: Services;
}

export async function tok(argv: readonly string[], options: TokOptions = {}): Promise<Outcome> {
	const controller = new AbortController();
	const interrupt = (): void => controller.abort(new DOMException("Interrupted", "AbortError"));
	let writes = 0;
	const stdout = capture(options.tty, () => {
		if (++writes === options.abortAfter) interrupt();
	});
	const stderr = capture(options.progress ? { columns: 80, rows: 24 } : undefined, () => {
		if (options.abortAt?.test(stderr.text())) interrupt();
	});
	const model = fakeModel((count) => {
		if (count === options.interruptAfterTokens) interrupt();
	});
	const loaded: string[] = [];
	const prepared: boolean[] = [];
	const disks: (string | undefined)[] = [];
	const io: Io = {
		stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
		stdout,
		stderr,
		env: options.env ?? {},
		signal: controller.signal,
		intercept: () => () => undefined,
	};
	const code = await run(
		argv,
		io,
		options.services ?? fakeServices(options.lend ?? model, { loaded, prepared, disks }),
	);
	return { code, stdout: stdout.text(), stderr: stderr.text(), model, loaded, prepared, disks };
}

interface Asked {
	readonly loaded: string[];
	readonly prepared: boolean[];
	readonly disks: (string | undefined)[];
}

function fakeServices(model: Model, { loaded, prepared, disks }: Asked): Services {
	const noRoom = new Error("[tok/runtime-cpu] disk: no room");
	let failLater = (): unknown => undefined;
	return {
		resolveModel: async (name) => ({ name, path: import.meta.filename, format: "gguf" }),
		// Nothing of a runtime is used by the fake model.
		async createRuntime({ prepare, disk, onDiskFailure }) {
			prepared.push(prepare);
			disks.push(disk);
			failLater = () => disk === "/full later" && onDiskFailure?.(noRoom);
			if (disk === "/full") onDiskFailure?.(noRoom);
			return { dispose: async () => undefined } as Awaited<ReturnType<Services["createRuntime"]>>;
		},
		async loadModel(name, { precision, memoryHeads }) {
			loaded.push(name);
			failLater();
			if ("loadedWith" in model) Object.assign(model, { loadedWith: defined({ precision, memoryHeads }) });
			return model;
		},
		prepare: (loadedModel, policy) => loadedModel.prepare(policy),
		async loadTokenizer(name) {
			loaded.push(name);
			return fakeTokenizer();
		},
		async quantizeModel(name, options) {
			const { quantizeModel } = await import("@tok/lm");
			return quantizeModel(name, options);
		},
		async inspectArchive(path) {
			const { size: bytes } = statSync(path);
			return {
				path,
				tokens: 48,
				blockSize: 16,
				heads: [{ layer: 0, heads: [0] }],
				precision: "fast",
				format: "int8",
				model: "fake",
				bytes,
			};
		},
		async inspectSession(path) {
			const { size: bytes } = statSync(path);
			const memoryHeads = [{ layer: 1, heads: [1] }];
			return {
				path,
				model: "fake",
				precision: "exact",
				policy: "rolling:9",
				memoryHeads,
				bytes,
				data: undefined,
			};
		},
		async inspectModel(name, options) {
			const { inspectModel } = await import("@tok/lm");
			return inspectModel(name, options);
		},
	};
}

function capture(tty: TokOptions["tty"], onWrite: () => void = () => undefined) {
	const pieces: Buffer[] = [];
	const stream = new PassThrough();
	stream.on("data", (piece: Buffer) => {
		pieces.push(piece);
		onWrite();
	});
	return Object.assign(stream, tty && { isTTY: true, ...tty }, {
		text: () => Buffer.concat(pieces).toString(),
	});
}
