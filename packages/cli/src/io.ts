/**
 * What a command may touch: streams, environment, the signal that says stop, and the libraries behind it.
 * Commands take all of it as an argument, so tests run them in-process.
 */
import type { Readable } from "node:stream";
import type { Policy } from "@tok/kv-cache";
import type {
	ArchiveInfo,
	InspectOptions,
	LoadModelOptions,
	Model,
	ModelReport,
	QuantizeOptions,
	QuantizeReport,
	ResolvedModel,
	ResolveOptions,
	SessionInfo,
	Tokenizer,
} from "@tok/lm";

export interface Output extends NodeJS.WritableStream {
	readonly isTTY?: boolean;
	/** Terminal size in characters; only a terminal has one. */
	readonly columns?: number;
	readonly rows?: number;
}

export interface Io {
	readonly stdin: Readable & { readonly isTTY?: boolean };
	/** Results. With --json exactly one JSON object. */
	readonly stdout: Output;
	/** Progress and errors. */
	readonly stderr: Output;
	readonly env: Readonly<Record<string, string | undefined>>;
	/** Aborted by Ctrl-C. */
	readonly signal: AbortSignal;
	/** Until the returned function is called, Ctrl-C calls `handler` instead. */
	intercept(handler: () => void): () => void;
}

/** The libraries that commands call; loaded when first used, so that help and bad flags answer at once. */
export interface Services {
	resolveModel(name: string, options: ResolveOptions): Promise<ResolvedModel>;
	/** `prepare`: graphs are kept in the cache. The others are those of `cpu`. */
	createRuntime(options: {
		readonly threads?: number;
		readonly prepare: boolean;
		readonly disk?: string;
		readonly onDiskFailure?: (error: Error) => void;
	}): Promise<LoadModelOptions["runtime"]>;
	loadModel(name: string, options: LoadModelOptions): Promise<Model>;
	/** `model.prepare`. */
	prepare(model: Model, policy: Policy): Promise<void>;
	loadTokenizer(name: string, options: ResolveOptions): Promise<Tokenizer>;
	quantizeModel(name: string, options: QuantizeOptions): Promise<QuantizeReport>;
	inspectModel(name: string, options: InspectOptions): Promise<ModelReport>;
	inspectArchive(path: string): Promise<ArchiveInfo>;
	inspectSession(path: string): Promise<SessionInfo>;
}

/** Writes text and waits until the stream has room for more. */
export async function write(output: Output, text: string): Promise<void> {
	if (text === "" || output.write(text)) return;
	await new Promise<void>((done) => {
		output.once("drain", done);
		output.once("close", done);
	});
}

/** The one JSON object of a command. */
export async function writeJson(output: Output, value: object): Promise<void> {
	await write(output, `${JSON.stringify(value)}\n`);
}
