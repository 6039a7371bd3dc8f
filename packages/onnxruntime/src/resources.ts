/** What one runtime has open, how much memory its stores may take, and the name that its errors bear. */
import { type GraphSession, type KvBank, type KvStore, TokError } from "@tok/runtime";

export class Resources {
	/** The package that errors come from: "runtime-cpu". */
	readonly source: string;
	/** Bytes of memory that all open stores together may take; undefined when unknown. */
	readonly memoryLimit: number | undefined;
	readonly sessions: Set<GraphSession> = new Set<GraphSession>();
	/** Stores on their own, and banks. */
	readonly stores: Set<KvStore | KvBank> = new Set<KvStore | KvBank>();

	constructor(source: string, memoryLimit: number | undefined) {
		this.source = source;
		this.memoryLimit = memoryLimit;
	}

	error(message: string, options?: ErrorOptions): TokError {
		return new TokError(this.source, message, options);
	}

	/** Throws unless the open stores may take `bytes` of memory more. */
	checkMemory(bytes: number): void {
		if (this.memoryLimit === undefined) return;
		let needed = bytes;
		for (const store of this.stores) needed += store.bytes - store.diskBytes;
		if (needed > this.memoryLimit)
			throw this.error(
				`expected key/value stores that fit into ${format(this.memoryLimit)} of memory, ` +
					`got ${format(needed)}. Choose a smaller window, or dispose sessions.`,
			);
	}
}

/** Throws unless the option is bytes, or left out. */
export function checkMemoryLimit(source: string, memoryLimit: number | undefined): void {
	if (memoryLimit !== undefined && !(Number.isSafeInteger(memoryLimit) && memoryLimit >= 1))
		throw new TokError(source, `memoryLimit: expected bytes, an integer ≥ 1, got ${memoryLimit}.`);
}

function format(bytes: number): string {
	return bytes < 2 ** 20 ? `${bytes} bytes` : `${(bytes / 2 ** 30).toFixed(3)} GiB`;
}
