/** What one CPU runtime has open, and how much memory its stores may take. */
import { totalmem } from "node:os";
import { type GraphSession, type KvBank, type KvStore, TokError } from "@tok/runtime";

export class Resources {
	/** Bytes that all open stores together may take. */
	readonly memoryLimit: number;
	readonly sessions: Set<GraphSession> = new Set<GraphSession>();
	/** Stores on their own, and banks. */
	readonly stores: Set<KvStore | KvBank> = new Set<KvStore | KvBank>();

	constructor(memoryLimit: number) {
		this.memoryLimit = memoryLimit;
	}

	/** Throws unless the open stores may take `bytes` more. */
	checkMemory(bytes: number): void {
		let needed = bytes;
		for (const store of this.stores) needed += store.bytes;
		if (needed > this.memoryLimit)
			throw new TokError(
				"runtime-cpu",
				`expected key/value stores that fit into ${format(this.memoryLimit)} of memory, ` +
					`got ${format(needed)}. Choose a smaller window, or dispose sessions.`,
			);
	}
}

/** What a process may sensibly allocate: the machine's memory, or its container's when that is smaller. */
export function availableMemory(): number {
	// 0 when nothing constrains the process, and an absurdly large number under some cgroup v1 hosts.
	const constrained = process.constrainedMemory();
	return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

function format(bytes: number): string {
	return bytes < 2 ** 20 ? `${bytes} bytes` : `${(bytes / 2 ** 30).toFixed(3)} GiB`;
}
