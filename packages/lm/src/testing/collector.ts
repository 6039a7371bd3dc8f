/** A stream that keeps what is written to it. */
export interface Collector {
	readonly stream: WritableStream<Uint8Array>;
	/** What was written, once it is closed. */
	bytes(): Uint8Array<ArrayBuffer>;
	/** "closed", or what it was aborted with. */
	end(): unknown;
}

/** `room` is the bytes after which writing fails. Defaults to no limit. */
export function collector(room: number = Number.POSITIVE_INFINITY): Collector {
	const chunks: Uint8Array<ArrayBuffer>[] = [];
	let end: unknown;
	let length = 0;
	const stream = new WritableStream<Uint8Array>({
		write(chunk) {
			length += chunk.length;
			if (length > room) throw new Error("no room");
			chunks.push(Uint8Array.from(chunk));
		},
		close() {
			end = "closed";
		},
		abort(reason) {
			end = reason;
		},
	});
	const bytes = (): Uint8Array<ArrayBuffer> => {
		const whole = new Uint8Array(length);
		let at = 0;
		for (const chunk of chunks) {
			whole.set(chunk, at);
			at += chunk.length;
		}
		return whole;
	};
	return { stream, bytes, end: () => end };
}
