/** What `cpu` takes, and the memory limit across stores. */
import { type KvShape, TokError } from "@tok/runtime";
import { echo, sums } from "@tok/runtime/conformance";
import { describe, expect, test } from "vitest";
import * as exported from "./index.ts";

const { cpu } = exported;
const shape: KvShape = { layers: 1, kvHeads: 1, headDim: 16, slots: [4] }; // 512 bytes

function thrownBy(action: () => unknown): unknown {
	try {
		return action();
	} catch (error) {
		return error;
	}
}

test("the exported names", () => {
	expect(Object.keys(exported)).toEqual(["cpu"]);
});

describe("threads", () => {
	test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])(
		"%d is an error",
		async (threads) => {
			const message = `[tok/runtime-cpu] threads: expected an integer from 1 to 1024, got ${threads}. Leave it out for all cores.`;
			const error = thrownBy(() => cpu({ threads }));
			expect(TokError.isInstance(error)).toBe(true);
			expect(error).toMatchObject({ message });
			await using runtime = cpu();
			await expect(runtime.loadGraph(echo("float32"), { threads })).rejects.toThrow(message);
		},
	);

	test("a graph may have its own number", async () => {
		await using runtime = cpu({ threads: 1 });
		const session = await runtime.loadGraph(sums(), { threads: 2 });
		const one = { dtype: "float32", dims: [1, 2], data: Float32Array.of(1, 2) } as const;
		expect((await session.run({ left: one, right: one })).sum?.data).toEqual(Float32Array.of(2, 4));
	});
});

describe("memoryLimit", () => {
	test.each([0, -1, 0.5, Number.NaN])("%d is an error", (memoryLimit) => {
		expect(() => cpu({ memoryLimit })).toThrow(
			`[tok/runtime-cpu] memoryLimit: expected bytes, an integer ≥ 1, got`,
		);
	});

	test("defaults to no more than the machine has", async () => {
		await using runtime = cpu();
		expect(runtime.memoryLimit).toBeGreaterThan(2 ** 26);
		expect(runtime.memoryLimit).toBeLessThan(2 ** 46);
	});

	test("R23: bounds all open stores of a runtime together", async () => {
		await using runtime = cpu({ memoryLimit: 1536 });
		const first = runtime.createKvStore(shape);
		const second = first.fork();
		runtime.createKvStore(shape);
		const refused = "[tok/runtime-cpu] expected key/value stores that fit into 1536 bytes of memory, got ";
		expect(() => runtime.createKvStore(shape)).toThrow(`${refused}2048 bytes.`);
		expect(() => second.fork()).toThrow(`${refused}2048 bytes.`);
		expect(() => first.grow(0, 5)).toThrow(`${refused}1664 bytes.`);
		second.dispose();
		first.grow(0, 8);
		expect(first.bytes).toBe(1024);
		expect(() => first.grow(0, 9)).toThrow(refused);
	});

	test("a store that the engine cannot allocate is an error too", async () => {
		await using runtime = cpu({ memoryLimit: Number.MAX_SAFE_INTEGER });
		const error = thrownBy(() => runtime.createKvStore({ ...shape, slots: [2 ** 44] }));
		expect(TokError.isInstance(error)).toBe(true);
		expect(error).toMatchObject({ message: expect.stringContaining("expected memory for") });
	});
});
