/**
 * What Node and browsers do differently, in one place. `#platform` is one of the two implementations, as package.json's
 * `imports` say; nothing else in this package asks where it runs.
 */
import type { ByteSource } from "../formats/byte-source.ts";
import type { ModelFiles } from "../model-files.ts";
import type { ResolvedModel, ResolveOptions } from "../resolve/resolve-model.ts";
import type { StoredModel } from "../resolve/stored-models.ts";

/** Of a text its UTF-8 is hashed. */
export interface Sha256 {
	update(data: string | Uint8Array): this;
	/** 32 bytes; the end of it. */
	digest(): Uint8Array;
}

export interface Platform {
	createSha256(): Sha256;
	/** Another text for every build of this code; undefined when that is not known. */
	codeStamp(): string | undefined;
	/** Throws when there is none, it is not a file, or it cannot be opened. */
	openFile(path: string): ByteSource;
	/**
	 * Writes the chunks one after the other, letting other work through between them. The path never names a half-written
	 * file: what stood there stays until all are written, and stays on failure. Rejects with the signal's reason.
	 */
	writeFile(path: string, chunks: Chunks, signal: AbortSignal | undefined): Promise<void>;
	resolveModel(name: string, options: ResolveOptions): Promise<ResolvedModel>;
	/** Resolves a model and opens its files. */
	openModel(name: string, options: ResolveOptions): Promise<ModelFiles>;
	cacheFolder(env: Environment | undefined): string;
	storedModels(): Promise<StoredModel[]>;
	removeStoredModel(name: string): Promise<void>;
}

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export type Environment = Readonly<Record<string, string | undefined>>;
