/** Runs that are alike are recorded and played: the same numbers, with nothing made anew. */
import type { GraphSession, Tensor } from "@tok/runtime";
import { echo, freshRows, product, sums, totals } from "@tok/runtime/conformance";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { webgpu } from "./index.ts";

/** What the GPU was asked for, by the method's name, since `watch`. */
const asked: Record<string, number> = {};

function watch(): void {
	for (const name of Object.keys(asked)) delete asked[name];
}

/** From when on alike runs are played. */
const RECORDED = 4;

beforeEach(() => {
	const count = <T extends object>(owner: T, ...names: (keyof T & string)[]): void => {
		for (const name of names) {
			const method = owner[name] as (...values: unknown[]) => unknown;
			vi.spyOn(owner, name as never).mockImplementation(function (this: T, ...values: unknown[]) {
				asked[name] = (asked[name] ?? 0) + 1;
				return method.apply(this, values);
			} as never);
		}
	};
	count(GPUDevice.prototype, "createBuffer", "createBindGroup");
	count(GPUComputePassEncoder.prototype, "dispatchWorkgroups");
	count(GPUQueue.prototype, "submit", "writeBuffer");
});

afterEach(() => {
	vi.restoreAllMocks();
});

function floats(dims: readonly number[], from: number): Tensor<"float32"> {
	const length = dims.reduce((product, dim) => product * dim, 1);
	return { dtype: "float32", dims, data: Float32Array.from({ length }, (_, i) => Math.sin(from + i)) };
}

const weight = floats([32, 32], 1);

async function numbers(session: GraphSession, rows: number, from: number): Promise<unknown> {
	const { y } = await session.run({ x: floats([rows, 32], from) });
	return [y?.dims, y?.data];
}

test("the same numbers as without, and no buffer, bind group or uniform made anew", async () => {
	await using runtime = await webgpu();
	await using without = await webgpu({ replay: false });
	const [session, plain] = await Promise.all([
		runtime.loadGraph(product(weight)),
		without.loadGraph(product(weight)),
	]);
	for (let i = 0; i < RECORDED + 4; i++)
		expect(await numbers(session, 2, i)).toEqual(await numbers(plain, 2, i));
	watch();
	const played = await numbers(session, 2, 100);
	// The feed; what was recorded and the copy to the host; the same dispatches.
	expect(asked).toEqual({ writeBuffer: 1, submit: 2, dispatchWorkgroups: asked.dispatchWorkgroups });
	const { dispatchWorkgroups } = asked;
	watch();
	expect(await numbers(plain, 2, 100)).toEqual(played);
	expect(asked.dispatchWorkgroups).toBe(dispatchWorkgroups);
	expect(asked.createBindGroup).toBe(dispatchWorkgroups);
});

test("what others compute between leaves a recording as it was, and the other way round", async () => {
	await using runtime = await webgpu();
	const session = await runtime.loadGraph(product(weight));
	const expected = await numbers(session, 2, 7);
	for (let i = 0; i < RECORDED; i++) await numbers(session, 2, i);
	// Its weight may take a buffer that the recorded run has given back.
	const other = await runtime.loadGraph(product(floats([32, 32], 3)));
	const before = await other.run({ x: floats([2, 32], 5) });
	for (const rows of [1, 3, 2, 5]) await numbers(session, rows, rows);
	expect(await numbers(session, 2, 7)).toEqual(expected);
	expect((await other.run({ x: floats([2, 32], 5) })).y?.data).toEqual(before.y?.data);
});

test("a run that copies is left to onnxruntime", async () => {
	await using runtime = await webgpu();
	const session = await runtime.loadGraph(echo("float32"));
	for (let i = 0; i < 2 * RECORDED; i++) {
		const x = floats([3], i);
		expect((await session.run({ x })).y?.data).toEqual(x.data);
	}
});

test("outputs that were not asked for are no part of it", async () => {
	await using runtime = await webgpu();
	const session = await runtime.loadGraph(sums());
	const feeds = { left: floats([2, 2], 1), right: floats([2, 2], 2) };
	for (let i = 0; i < RECORDED + 2; i++) {
		const both = await session.run(feeds);
		const one = await session.run(feeds, { outputs: ["twice"] });
		expect(Object.keys(one)).toEqual(["twice"]);
		expect(one.twice?.data).toEqual(both.twice?.data);
	}
});

test("what was recorded over a store's buffers is freed after it has grown, with the next run", async () => {
	await using runtime = await webgpu();
	const shape = { layers: 1, kvHeads: 1, headDim: 4, slots: [8] };
	const session = await runtime.loadGraph(totals(shape));
	const store = runtime.createKvStore(shape);
	const feeds = { rows: freshRows(shape, 1) };
	const seen: unknown[] = [];
	const step = async (): Promise<void> => {
		seen.push((await session.run(feeds, { store })).total?.data);
	};
	for (let i = 0; i < RECORDED + 2; i++) await step();
	store.grow(0, 12);
	const destroy = vi.spyOn(GPUBuffer.prototype, "destroy");
	await step();
	// Its uniforms, and at least one output.
	expect(destroy.mock.calls.length).toBeGreaterThanOrEqual(2);
	expect(new Set(seen.map(String))).toEqual(new Set(["36"]));
});

test("a session that is disposed frees what was recorded", async () => {
	await using runtime = await webgpu();
	const session = await runtime.loadGraph(product(weight));
	for (let i = 0; i < RECORDED + 1; i++) await numbers(session, 2, i);
	const destroy = vi.spyOn(GPUBuffer.prototype, "destroy");
	await session.dispose();
	// Its feed, its uniforms, and at least its output.
	expect(destroy.mock.calls.length).toBeGreaterThanOrEqual(3);
});
