/** Shapes, lengths and indexing, for operators.test.ts. */
import * as ops from "../index.ts";
import { define, type OperatorCase, withSymbols } from "./operator-case.ts";

const shapes = [
	define(
		"reshape keeps, infers and splits",
		{ x: ["float32", ["batch", "tokens", 6]] },
		({ x }) => [ops.reshape(x, [0, 0, 2, 3]), ops.reshape(x, [-1, 6]), ops.reshape(x, [0, -1])],
		({ x }) => {
			const [, tokens = 0] = x.dims;
			return [
				(n, t, h, d) => x.at(n, t, h * 3 + d),
				(r, d) => x.at(Math.floor(r / tokens), r % tokens, d),
				(n, r) => x.at(n, Math.floor(r / 6), r % 6),
			];
		},
	),
	withSymbols(
		define("reshape to symbols in other places", { x: ["float32", ["batch", "tokens", 6]] }, ({ x }) => [
			ops.reshape(x, [6, "batch", "tokens"]),
			ops.reshape(x, ["tokens", -1]),
			ops.reshape(x, ["batch*tokens", 2, -1]),
			ops.reshape(x, ["batch", "tokens", 1, 6]),
		]),
	),
	define(
		"reshape cancels sums",
		{ a: ["float32", ["batch", 3, "slots"]], b: ["float32", ["batch", 3, "tokens"]] },
		({ a, b }) => ops.reshape(ops.concat([a, b], 2), [-1, 0, 0]),
	),
	define(
		"transpose",
		{ x: ["float32", ["batch", "tokens", 2, 3]] },
		({ x }) => ops.transpose(x, [0, 2, 3, 1]),
		({ x }) =>
			(n, h, d, t) =>
				x.at(n, t, h, d),
	),
	define(
		"squeeze and unsqueeze",
		{ x: ["float32", [1, "tokens", 1]] },
		({ x }) => [
			ops.squeeze(x, [0, -1]),
			ops.squeeze(x, [2]),
			ops.unsqueeze(x, [0, -1]),
			ops.unsqueeze(x, [2, 1]),
		],
		({ x }) => [
			(t) => x.at(0, t, 0),
			(_, t) => x.at(0, t, 0),
			(...i) => x.at(0, i[2] ?? 0, 0),
			(...i) => x.at(0, i[3] ?? 0, 0),
		],
	),
	withSymbols(
		define(
			"expand",
			{ x: ["float32", ["tokens", 1]], y: ["float32", ["batch"]] },
			({ x, y }) => [
				ops.expand(x, [2, "tokens", 3]),
				ops.expand(x, ["batch", "tokens", "slots"]),
				ops.expand(x, [1]),
				y,
			],
			({ x, y }) => [(_, t) => x.at(t, 0), (_, t) => x.at(t, 0), (t) => x.at(t, 0), y.at],
		),
	),
	define(
		"concat",
		{
			a: ["float32", ["batch", "slots", 2]],
			b: ["float32", ["batch", "tokens", 2]],
			c: ["float32", ["batch", 3, 2]],
		},
		({ a, b, c }) => [ops.concat([a, b, c], 1), ops.concat([a, a], -1)],
		({ a, b, c }) => {
			const [, slots = 0] = a.dims;
			const [, tokens = 0] = b.dims;
			return [
				(n, t, d) =>
					t < slots
						? a.at(n, t, d)
						: t < slots + tokens
							? b.at(n, t - slots, d)
							: c.at(n, t - slots - tokens, d),
				(n, t, d) => a.at(n, t, d % 2),
			];
		},
	),
	define(
		"split",
		{ x: ["float32", ["tokens", 6]] },
		({ x }) => [...ops.split(x, 3, 1), ...ops.split(x, [1, 5], -1)],
		({ x }) => [
			(t, d) => x.at(t, d),
			(t, d) => x.at(t, 2 + d),
			(t, d) => x.at(t, 4 + d),
			x.at,
			(t, d) => x.at(t, 1 + d),
		],
	),
	withSymbols(
		define(
			"split what was concatenated",
			{ a: ["float32", [2, "slots"]], b: ["float32", [2, "tokens"]] },
			({ a, b }) => [
				...ops.split(ops.concat([a, b], 1), ["slots", "tokens"], 1),
				...ops.split(ops.concat([a, a], 1), 2, 1),
			],
			({ a, b }) => [a.at, b.at, a.at, a.at],
		),
	),
	define(
		"slice",
		{ x: ["float32", ["batch", 7]] },
		({ x }) => [
			ops.slice(x, { axis: 1, start: 2 }),
			ops.slice(x, { axis: 1, end: -3 }),
			ops.slice(x, { axis: -1, start: 1, end: 6, step: 2 }),
			ops.slice(x, { axis: 1, start: -2, end: 99 }),
			ops.slice(x, { axis: 0, end: 1 }),
		],
		({ x }) => [(n, d) => x.at(n, 2 + d), x.at, (n, d) => x.at(n, 1 + 2 * d), (n, d) => x.at(n, 5 + d), x.at],
	),
	withSymbols(
		define(
			"slice by symbols",
			{ a: ["float32", ["slots"]], b: ["float32", ["tokens"]] },
			({ a, b }) => [
				ops.slice(ops.concat([a, b], 0), { axis: 0, start: "slots" }),
				ops.slice(ops.concat([a, b], 0), { axis: 0, end: "slots" }),
				ops.slice(a, { axis: 0, start: -1 }),
				ops.slice(a, { axis: 0, start: 1 }),
			],
			({ a, b }) => [b.at, a.at, () => a.at((a.dims[0] ?? 0) - 1), (i) => a.at(i + 1)],
		),
	),
];

const lengths = [
	withSymbols(
		define(
			"shapeOf and shapeTensor",
			{ x: ["float32", ["batch", "tokens", 6]] },
			({ x }, g) => [
				ops.shapeOf(x),
				ops.shapeOf(x, { start: 1, end: 2 }),
				ops.shapeTensor(g, [2, 3, "batch*tokens", "2*tokens+1", "batch-1"]),
			],
			({ x }) => [
				(i) => x.dims[i] ?? 0,
				() => x.dims[1] ?? 0,
				(i) =>
					[2, 3, (x.dims[0] ?? 0) * (x.dims[1] ?? 0), 2 * (x.dims[1] ?? 0) + 1, (x.dims[0] ?? 0) - 1][i] ?? 0,
			],
		),
	),
	withSymbols(
		define(
			"range",
			{ x: ["float32", ["tokens"]] },
			({ x }, g) => [
				ops.range(g, { limit: "tokens" }),
				ops.range(g, { start: 2, limit: 9, step: 3 }),
				ops.range(g, { start: 3, limit: -2, step: -2 }),
				ops.range(g, { start: "tokens", limit: "2*tokens" }),
				x,
			],
			({ x }) => [(i) => i, (i) => 2 + 3 * i, (i) => 3 - 2 * i, (i) => (x.dims[0] ?? 0) + i, x.at],
		),
	),
	withSymbols(
		define(
			"constantOfShape",
			{ x: ["float32", ["tokens"]] },
			({ x }, g) => [
				ops.constantOfShape(g, { dtype: "float32", shape: ["tokens", 2], value: -1.5 }),
				ops.constantOfShape(g, { dtype: "int64", shape: [3], value: 7 }),
				ops.constantOfShape(g, { dtype: "bool", shape: [] }),
				x,
			],
			({ x }) => [() => -1.5, () => 7, () => 0, x.at],
		),
	),
	withSymbols(
		define(
			"assumeShape",
			{ a: ["float32", ["slots"]] },
			({ a }) => ops.add(ops.assumeShape(ops.slice(a, { axis: 0, start: 1 }), ["slots-1"]), 1),
			({ a }) =>
				(i) =>
					a.at(i + 1) + 1,
		),
	),
];

const indexing = [
	define(
		"gather",
		{ x: ["float32", [5, "tokens"]], i: ["int64", ["batch", 2], [-5, 5]], j: ["int32", [], [0, 1]] },
		({ x, i, j }) => [ops.gather(x, i), ops.gather(x, j, 1)],
		({ x, i, j }) => [(a, b, t) => x.at((i.at(a, b) + 5) % 5, t), (r) => x.at(r, j.at())],
	),
	define(
		"gatherElements",
		{ x: ["float32", [4, "tokens"]], i: ["int64", [2, "tokens"], [0, 4]] },
		({ x, i }) => ops.gatherElements(x, i, 0),
		({ x, i }) =>
			(r, t) =>
				x.at(i.at(r, t), t),
	),
	define(
		"gatherND",
		{
			x: ["float32", ["batch", 4, 3, 2]],
			i: ["int64", ["batch", "tokens", 2], [0, 3]],
			j: ["int64", [1, 1], [0, 1]],
		},
		({ x, i, j }) => [ops.gatherND(x, i, { batchDims: 1 }), ops.gatherND(x, j)],
		({ x, i, j }) => [
			(n, t, d) => x.at(n, i.at(n, t, 0), i.at(n, t, 1), d),
			(_, a, b, c) => x.at(j.at(0, 0), a, b, c),
		],
	),
	define(
		"scatterElements",
		{ x: ["float32", [4, "tokens"]], i: ["int64", [1, "tokens"], [0, 4]], u: ["float32", [1, "tokens"]] },
		({ x, i, u }) => [
			ops.scatterElements(x, i, u, { axis: 0 }),
			ops.scatterElements(x, i, u, { axis: 0, reduction: "add" }),
		],
		({ x, i, u }) => [
			(r, t) => (i.at(0, t) === r ? u.at(0, t) : x.at(r, t)),
			(r, t) => x.at(r, t) + (i.at(0, t) === r ? u.at(0, t) : 0),
		],
	),
	define(
		"scatterND",
		{ x: ["float32", [4, "tokens"]], i: ["int64", [1, 1], [0, 4]], u: ["float32", [1, "tokens"]] },
		({ x, i, u }) => [ops.scatterND(x, i, u), ops.scatterND(x, i, u, { reduction: "max" })],
		({ x, i, u }) => [
			(r, t) => (i.at(0, 0) === r ? u.at(0, t) : x.at(r, t)),
			(r, t) => (i.at(0, 0) === r ? Math.max(u.at(0, t), x.at(r, t)) : x.at(r, t)),
		],
	),
	define(
		"topK",
		{ x: ["float32", ["tokens", 7]] },
		({ x }) => {
			const best = ops.topK(x, 3);
			const least = ops.topK(x, 2, { axis: 1, largest: false });
			return [best.values, best.indices, least.values, least.indices];
		},
		({ x }) => {
			const order = (t: number): number[] => [0, 1, 2, 3, 4, 5, 6].sort((a, b) => x.at(t, b) - x.at(t, a));
			return [
				(t, k) => x.at(t, order(t)[k] ?? 0),
				(t, k) => order(t)[k] ?? 0,
				(t, k) => x.at(t, order(t)[6 - k] ?? 0),
				(t, k) => order(t)[6 - k] ?? 0,
			];
		},
	),
	define(
		"topK of int64 along the first axis",
		{ x: ["int64", [5, "tokens"], [0, 99]] },
		({ x }) => ops.topK(x, 1, { axis: 0, sorted: false }).values,
		({ x }) =>
			(_, t) =>
				Math.max(...[0, 1, 2, 3, 4].map((r) => x.at(r, t))),
	),
	define(
		"argMax",
		{ x: ["float32", ["tokens", 5]] },
		({ x }) => [ops.argMax(x, -1), ops.argMax(x, 1, { keepDims: true })],
		({ x }) => {
			const best = (t: number): number => [0, 1, 2, 3, 4].reduce((a, b) => (x.at(t, b) > x.at(t, a) ? b : a));
			return [best, best];
		},
	),
];

export const shapeCases: readonly OperatorCase[] = [...shapes, ...lengths, ...indexing];
