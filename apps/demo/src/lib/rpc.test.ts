/** Calls over a message port: events, results, errors, cancels. */
import { expect, onTestFinished, test } from "vitest";
import type { Call } from "../protocol.ts";
import { connect, serve } from "./rpc.ts";

interface Calls {
	readonly add: Call<readonly number[], number, number>;
	readonly wait: Call<null, null>;
	readonly fail: Call<null, null>;
}

function pair(): ReturnType<typeof connect<Calls>> {
	const { port1, port2 } = new MessageChannel();
	onTestFinished(() => port1.close());
	for (const port of [port1, port2]) port.start();
	serve<Calls>(port2 as never, {
		add(numbers, { emit }) {
			for (const number of numbers) emit(number);
			return numbers.reduce((sum, number) => sum + number, 0);
		},
		wait: (_, { signal }) =>
			new Promise((_resolve, reject) => {
				signal.addEventListener("abort", () => reject(signal.reason));
			}),
		fail() {
			throw new Error("[tok/lm] expected a model, got none. Load one.");
		},
	});
	return connect<Calls>(port1 as never);
}

test("events come before the result", async () => {
	const call = pair();
	const seen: number[] = [];
	expect(await call("add", [1, 2, 3], { onEvent: (number) => seen.push(number) })).toBe(6);
	expect(seen).toEqual([1, 2, 3]);
});

test("an error crosses as its message", async () => {
	await expect(pair()("fail", null)).rejects.toThrow("[tok/lm] expected a model, got none. Load one.");
});

test("an abort ends the call on the other side, and rejects with the reason", async () => {
	const call = pair();
	const controller = new AbortController();
	const waiting = call("wait", null, { signal: controller.signal });
	const reason = new Error("enough");
	controller.abort(reason);
	await expect(waiting).rejects.toBe(reason);
	await expect(call("wait", null, { signal: controller.signal })).rejects.toBe(reason);
	expect(await call("add", [1])).toBe(1);
});
