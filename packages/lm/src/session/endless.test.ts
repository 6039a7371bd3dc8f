/** S1: a session's state is bounded, however long its stream. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { rolling, sink } from "@tok/kv-cache";
import { expect, test } from "vitest";
import { openTinyModel } from "../testing/open-tiny-model.ts";

const { model } = await openTinyModel();

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that are still reachable, buffers outside the heap among them. */
function memory(): number {
	// Dead buffers are freed on another thread once a collection has ended; the next one waits for that.
	collectGarbage();
	collectGarbage();
	const { heapUsed, arrayBuffers } = process.memoryUsage();
	return heapUsed + arrayBuffers;
}

test.each([0, 8])(
	"S1: 20,000 tokens in constant memory, with %d guesses at a time",
	async (speculate) => {
		const session = model.createSession({ policy: [sink(4), rolling(28)] });
		const started = memory();
		const sizes: number[] = [];
		let length = 0;
		const options = {
			temperature: 1,
			seed: 1,
			ignoreEndOfText: true,
			repetitionPenalty: 1.1,
			stop: ["never seen"],
			speculate,
		};
		for await (const _ of session.generate(options)) {
			length++;
			if (length % 5000 === 0) {
				sizes.push(memory() - started);
				// The first token was read before it: an empty stream begins with bos. The last one is pending.
				const { length: total, retained, evicted, bytes } = session.stats;
				expect({ total, retained, evicted, bytes }).toEqual({
					total: length + 1,
					retained: 32,
					evicted: length - 32,
					bytes: model.cacheBytes(session.policy),
				});
			}
			if (length === 20_000) break;
		}
		// The remembered ids are trimmed now and then: by 5,000 tokens all that there is has been allocated.
		const [early = 0] = sizes;
		for (const size of sizes) expect(size - early).toBeLessThan(200_000);
		session.dispose();
	},
	240_000,
);
