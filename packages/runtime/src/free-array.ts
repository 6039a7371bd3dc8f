/**
 * Frees the memory of an array at once; it and whatever else views its buffer have no elements from then on. For caches,
 * and for outputs of a run once they have been used: left to the garbage collector, those of a few dozen steps have it
 * walk the whole heap, beside the threads that compute. Does nothing where the engine cannot (before Node 21, Chrome 114,
 * Firefox 122, Safari 17.4), or the buffer is not the array's own (WebAssembly's memory).
 */
export function freeArray({ buffer }: ArrayBufferView): void {
	try {
		(buffer as { transfer?(bytes: number): unknown }).transfer?.(0);
	} catch {
		// Detached already, or never to be.
	}
}
