/** R1–R9 and R26: loading and running graphs. */
import { freeArray } from "../free-array.ts";
import type { DType, GraphFile, GraphSession, Runtime, Tensor, TypedArrays } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectClose,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { echo, product, sums } from "./graphs.ts";
import { counting, floats, Numbers } from "./tensors.ts";

/** Four values of each dtype, its extremes among them. */
const samples: { readonly [D in DType]: TypedArrays[D] } = {
	float32: Float32Array.of(0.5, -3.4028234663852886e38, 1e-45, Number.POSITIVE_INFINITY),
	float16: Uint16Array.of(0x3c00, 0xfbff, 0x0001, 0x7c00),
	int64: BigInt64Array.of(1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n),
	int32: Int32Array.of(1, -(2 ** 31), 2 ** 31 - 1, 0),
	uint8: Uint8Array.of(1, 255, 128, 0),
	int8: Int8Array.of(1, -128, 127, 0),
	bool: Uint8Array.of(1, 0, 1, 1),
};
const dtypes = Object.keys(samples) as DType[];

function only(output: Record<string, Tensor>, name: string): Tensor {
	const tensor = output[name];
	if (tensor === undefined || Object.keys(output).length !== 1)
		throw new Error(`expected the output ${name} alone, got ${Object.keys(output).join(", ") || "none"}`);
	return tensor;
}

const left = floats([1, 2], [1, 2]);
const right = floats([1, 2], [10, 20]);

export const graphCases: readonly ConformanceCase[] = [
	conformanceCase("R1a", "a session lists its inputs and outputs in the graph's order", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		expectEqualNames("inputNames", session.inputNames, ["left", "right"]);
		expectEqualNames("outputNames", session.outputNames, ["sum", "twice"]);
	}),
	conformanceCase("R1b", "bytes that are no graph are an error", async (runtime) => {
		for (const length of [0, 3, 100])
			await expectTokError(`${length} bytes`, () => runtime.loadGraph({ model: new Uint8Array(length) }));
		const { model } = sums();
		await expectTokError("half a graph", () =>
			runtime.loadGraph({ model: model.subarray(0, model.length / 2) }),
		);
	}),
	conformanceCase(
		"R2a",
		"weights may lie outside the model, and belong to the caller again once it is loaded",
		async (runtime) => {
			const numbers = new Numbers(1);
			const weight = numbers.tensor([32, 32]);
			const x = numbers.tensor([2, 32]);
			const expected = matrixProduct(x.data, weight.data, 32);
			const file = product(weight);
			expectThat("the weight lies outside the model", file.weights?.length === 1);
			const session = await runtime.loadGraph(file);
			weight.data.fill(0);
			file.model.fill(0);
			expectClose("x · weight", only(await session.run({ x }), "y").data as Float32Array, expected, 1e-5);
		},
	),
	conformanceCase("R2b", "a weight that is not there is an error", async (runtime) => {
		const { model } = product(counting([32, 32]));
		await expectTokError("no weights", () => runtime.loadGraph({ model }));
	}),
	conformanceCase("R3a", "an aborted signal rejects with its reason", async (runtime) => {
		const controller = new AbortController();
		const reason = new Error("changed my mind");
		const rejection = (): Promise<unknown> =>
			runtime.loadGraph(sums(), { signal: controller.signal }).catch((error: unknown) => error);
		const meanwhile = rejection();
		controller.abort(reason);
		for (const outcome of [await meanwhile, await rejection()])
			expectThat("loadGraph rejects with the signal's reason", outcome === reason);
	}),
	conformanceCase("R26a", "a function makes the graph once, or the runtime has kept it", async (runtime) => {
		const key = `conformance ${Date.now()} ${Math.random()}`;
		const weight = new Numbers(1).tensor([32, 32]);
		const x = new Numbers(2).tensor([2, 32]);
		const expected = matrixProduct(x.data, weight.data, 32);
		for (const isNew of [true, false]) {
			let calls = 0;
			const make = (): GraphFile => {
				calls++;
				return product(weight);
			};
			const session = await runtime.loadGraph(make, { key });
			expectThat("the function is called at most once", calls <= 1);
			expectThat("the function is called under a key that is new", !isNew || calls === 1);
			const { y } = await session.run({ x });
			expectClose("x · weight", y?.data as Float32Array, expected, 1e-5);
		}
	}),
	conformanceCase("R26b", "what the function throws, loadGraph rejects with", async (runtime) => {
		const reason = new Error("no such weights");
		const make = (): GraphFile => {
			throw reason;
		};
		for (const options of [{}, { key: `conformance ${Date.now()} ${Math.random()}` }]) {
			const outcome = await runtime.loadGraph(make, options).catch((error: unknown) => error);
			expectThat("loadGraph rejects with the function's error", outcome === reason);
		}
	}),
	...dtypes.map((dtype, index) =>
		conformanceCase(`R4${letter(index)}`, `${dtype} goes in and comes out unchanged`, async (runtime) => {
			const session = await runtime.loadGraph(echo(dtype));
			const data = samples[dtype];
			const y = only(await session.run({ x: { dtype, dims: [4], data } }), "y");
			expectThat(`the output has dtype ${dtype}, got ${y.dtype}`, y.dtype === dtype);
			expectEqual("dims", y.dims, [4]);
			expectEqual("data", y.data, data);
		}),
	),
	conformanceCase("R5a", "tensors without elements go in and come out in every dtype", async (runtime) => {
		for (const dtype of dtypes) {
			const session = await runtime.loadGraph(echo(dtype, ["n", 3]));
			const y = only(
				await session.run({ x: { dtype, dims: [0, 3], data: samples[dtype].slice(0, 0) } }),
				"y",
			);
			expectEqual(`${dtype} dims`, y.dims, [0, 3]);
			expectEqual(`${dtype} data`, y.data, samples[dtype].slice(0, 0));
		}
	}),
	conformanceCase("R6a", "a missing feed is an error that names it", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		await expectTokError("no feed for right", () => session.run({ left }), "right");
	}),
	conformanceCase("R6b", "a feed that the graph does not read is an error that names it", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		await expectTokError("an extra feed", () => session.run({ left, right, middle: left }), "middle");
	}),
	conformanceCase(
		"R6c",
		"a feed of another dtype, or in another array, is an error that names both",
		async (runtime) => {
			const session = await runtime.loadGraph(sums());
			const integers = { dtype: "int32", dims: [1, 2], data: Int32Array.of(1, 2) } as const;
			await expectTokError(
				"int32",
				() => session.run({ left, right: integers }),
				"right",
				"float32",
				"int32",
			);
			const mislabelled = {
				dtype: "float32",
				dims: [1, 2],
				data: Float64Array.of(1, 2),
			} as unknown as Tensor;
			await expectTokError(
				"Float64Array",
				() => session.run({ left, right: mislabelled }),
				"right",
				"Float32Array",
				"Float64Array",
			);
		},
	),
	conformanceCase("R6d", "a feed of another rank or size is an error that shows both", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		const wrong: readonly (readonly number[])[] = [[2], [1, 3], [1, 2, 1], [], [-1, 2], [0.5, 2]];
		for (const dims of wrong) {
			const feed = { dtype: "float32", dims, data: new Float32Array(2) } as const;
			await expectTokError(
				`dims [${dims}]`,
				() => session.run({ left, right: feed }),
				"right",
				"[n, 2]",
				`[${dims.join(", ")}]`,
			);
		}
	}),
	conformanceCase("R6e", "a feed with more or fewer elements than its dims is an error", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		for (const length of [0, 1, 3]) {
			const feed = { dtype: "float32", dims: [1, 2], data: new Float32Array(length) } as const;
			await expectTokError(
				`${length} elements`,
				() => session.run({ left, right: feed }),
				"right",
				2,
				length,
			);
		}
	}),
	conformanceCase("R6f", "a symbol stands for one number in all inputs of a run", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		const feeds = { left, right: counting([3, 2]) };
		await expectTokError("n = 1 and n = 3", () => session.run(feeds), "right", "n", 1, 3);
		const again = await session.run({ left: counting([3, 2]), right: counting([3, 2]) });
		expectEqual("n may differ from run to run", again.sum?.data ?? [], Float32Array.of(0, 2, 4, 6, 8, 10));
	}),
	conformanceCase(
		"R7a",
		"only the outputs that were asked for come back; all by default",
		async (runtime) => {
			const session = await runtime.loadGraph(sums());
			const all = await session.run({ left, right });
			expectEqualNames("outputs", Object.keys(all).sort(), ["sum", "twice"]);
			const twice = only(await session.run({ left, right }, { outputs: ["twice"] }), "twice");
			expectEqual("twice", twice.data, Float32Array.of(2, 4));
		},
	),
	conformanceCase("R7b", "an unknown output, or none, is an error", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		await expectTokError(
			"unknown",
			() => session.run({ left, right }, { outputs: ["sum", "total"] }),
			"total",
			"twice",
		);
		await expectTokError("none", () => session.run({ left, right }, { outputs: [] }));
	}),
	conformanceCase("R8a", "feeds and outputs are the caller's once a run has ended", async (runtime) => {
		const session = await runtime.loadGraph(echo("float32"));
		const x = floats([2], [1, 2]);
		const first = only(await session.run({ x }), "y");
		x.data.fill(7);
		await session.run({ x });
		expectEqual("the first run's output", first.data, Float32Array.of(1, 2));
		(first.data as Float32Array).fill(9);
		expectEqual("the next run's output", only(await session.run({ x }), "y").data, Float32Array.of(7, 7));
	}),
	conformanceCase("R8b", "an output's memory may be freed, and the next run has its own", async (runtime) => {
		const session = await runtime.loadGraph(sums());
		for (const one of [1, 2, 3]) {
			const outputs = await session.run({ left: floats([1, 2], [one, 0]), right });
			expectEqual("sum", outputs.sum?.data ?? [], Float32Array.of(one + 10, 20));
			for (const { data } of Object.values(outputs)) freeArray(data);
		}
	}),
	conformanceCase("R9a", "runs may overlap, each with feeds and outputs of its own", async (runtime) => {
		const sessions = [await runtime.loadGraph(sums()), await runtime.loadGraph(sums())];
		const runs = Array.from({ length: 8 }, (_, i) =>
			(sessions[i % 2] as GraphSession).run({ left: floats([1, 2], [i, 0]), right }),
		);
		for (const [i, { sum }] of (await Promise.all(runs)).entries())
			expectEqual(`run ${i}`, sum?.data ?? [], Float32Array.of(i + 10, 20));
	}),
	conformanceCase("R9b", "a failed run leaves the session usable", async (runtime: Runtime) => {
		const session = await runtime.loadGraph(sums());
		await expectTokError("no feeds", () => session.run({}));
		expectEqual("sum", (await session.run({ left, right })).sum?.data ?? [], Float32Array.of(11, 22));
	}),
	conformanceCase(
		"R9c",
		"a run that is like those before computes with feeds of its own, and gives outputs of its own",
		async (runtime) => {
			const session = await runtime.loadGraph(sums());
			const run = async (rows: number, value: number): Promise<() => void> => {
				const feeds = { left: floats([rows, 2], new Array(2 * rows).fill(value)), right: ones(rows) };
				const { sum, twice } = await session.run(feeds);
				return () => {
					const expected = (each: number): Float32Array => new Float32Array(2 * rows).fill(each);
					expectEqual(`sum of ${value}`, sum?.data ?? [], expected(value + 1));
					expectEqual(`twice ${value}`, twice?.data ?? [], expected(2 * value));
				};
			};
			const checks: (() => void)[] = [];
			for (let i = 0; i < 16; i++) checks.push(await run(i % 5 === 0 ? 3 : 2, i));
			checks.push(...(await Promise.all(Array.from({ length: 8 }, (_, i) => run(2, 100 + i)))));
			for (const check of checks) check();
		},
	),
];

function ones(rows: number): Tensor<"float32"> {
	return floats([rows, 2], new Array(2 * rows).fill(1));
}

function letter(index: number): string {
	return String.fromCharCode(97 + index);
}

function expectEqualNames(what: string, got: readonly string[], expected: readonly string[]): void {
	if (got.join() !== expected.join())
		throw new Error(`${what}: expected ${expected.join(", ")}, got ${got.join(", ") || "none"}`);
}

/** [rows, n] · [n, n], row-major. */
function matrixProduct(x: Float32Array, weight: Float32Array, n: number): Float32Array {
	return x.map((_, index) => {
		const [row, column] = [Math.floor(index / n), index % n];
		let sum = 0;
		for (let i = 0; i < n; i++) sum += (x[row * n + i] as number) * (weight[i * n + column] as number);
		return sum;
	});
}
