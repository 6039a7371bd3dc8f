/** Arithmetic, comparisons, logic, conversion and activations, for operators.test.ts. */
import * as ops from "../index.ts";
import type { Value } from "../types.ts";
import { define, erfSeries, type OperatorCase, positive } from "./operator-case.ts";

const btd = ["batch", "tokens", 6] as const;

const binary: readonly (readonly [string, ops.Arithmetic, (a: number, b: number) => number])[] = [
	["add", ops.add, (a, b) => a + b],
	["sub", ops.sub, (a, b) => a - b],
	["mul", ops.mul, (a, b) => a * b],
	["div", ops.div, (a, b) => a / b],
	["min", ops.min, Math.min],
	["max", ops.max, Math.max],
	["pow", ops.pow, (a, b) => a ** b],
];

const arithmetic = binary.flatMap(([name, op, f]) => [
	define(
		`${name} broadcasts`,
		{ a: ["float32", btd, positive], b: ["float32", ["tokens", 1], positive] },
		({ a, b }) => op(a, b),
		({ a, b }) =>
			(...i) =>
				f(a.at(...i), b.at(...i)),
	),
	define(
		`${name} of a value and a number`,
		{ a: ["float32", [3, 1], positive] },
		({ a }) => [op(a, 1.5), op(1.5, a)],
		({ a }) => [(...i) => f(a.at(...i), 1.5), (...i) => f(1.5, a.at(...i))],
	),
	define(
		`${name} of float16`,
		{ a: ["float16", [4, 2], positive] },
		({ a }) => op(a, 1.5),
		({ a }) =>
			(...i) =>
				f(a.at(...i), 1.5),
		4e-3,
	),
	define(
		`${name} of int64`,
		{ a: ["int64", ["tokens"], [1, 5]], b: ["int64", [], [1, 5]] },
		({ a, b }) => op(a, b),
		({ a, b }) =>
			(...i) =>
				Math.trunc(f(a.at(...i), b.at())),
	),
	define(
		`${name} of int32`,
		{ a: ["int32", ["tokens"], [1, 5]] },
		({ a }) => op(a, 2),
		({ a }) =>
			(...i) =>
				Math.trunc(f(a.at(...i), 2)),
	),
]);

const unary: readonly (readonly [string, (x: Value<"float32">) => Value, (x: number) => number])[] = [
	["neg", ops.neg, (x) => -x],
	["abs", ops.abs, Math.abs],
	["round", ops.round, (x) => Math.round(x)],
	["sqrt", ops.sqrt, Math.sqrt],
	["exp", ops.exp, Math.exp],
	["log", ops.log, Math.log],
	["sin", ops.sin, Math.sin],
	["cos", ops.cos, Math.cos],
	["round", ops.round, Math.round],
	["tanh", ops.tanh, Math.tanh],
	["relu", ops.relu, (x) => Math.max(x, 0)],
	["sigmoid", ops.sigmoid, (x) => 1 / (1 + Math.exp(-x))],
	["erf", ops.erf, erfSeries],
	["gelu", ops.gelu, (x) => (x / 2) * (1 + erfSeries(x / Math.SQRT2))],
	["quickGelu", ops.quickGelu, (x) => x / (1 + Math.exp(-1.702 * x))],
	["identity", ops.identity, (x) => x],
];

const elementwise = unary.map(([name, op, f]) =>
	define(
		name,
		{ x: ["float32", btd, name === "sqrt" || name === "log" ? positive : [-2, 2]] },
		({ x }) => op(x),
		({ x }) =>
			(...i) =>
				f(x.at(...i)),
	),
);

const integers = (["int64", "int32", "int8", "uint8"] as const).flatMap((dtype) => [
	define(
		`abs of ${dtype}`,
		{ x: [dtype, ["tokens", 3], [0, 5]] },
		({ x }) => ops.abs(x),
		({ x }) => x.at,
	),
	define(
		`reduceMax and reduceMin of ${dtype}`,
		{ x: [dtype, [2, 3], [0, 50]] },
		({ x }) => [ops.reduceMax(x, [1]), ops.reduceMin(x, [1])],
		({ x }) => [
			(i) => Math.max(x.at(i, 0), x.at(i, 1), x.at(i, 2)),
			(i) => Math.min(x.at(i, 0), x.at(i, 1), x.at(i, 2)),
		],
	),
	define(
		`cast from and to ${dtype}`,
		{ x: [dtype, ["tokens"], [0, 9]] },
		({ x }) => [ops.cast(x, "float32"), ops.cast(ops.cast(x, "float32"), dtype), ops.cast(x, "bool")],
		({ x }) => [x.at, x.at, (i) => Number(x.at(i) !== 0)],
	),
]);

const halfUnary: readonly (readonly [string, (x: Value<"float16">) => Value])[] = [
	["neg", ops.neg],
	["abs", ops.abs],
	["sqrt", ops.sqrt],
	["exp", ops.exp],
	["log", ops.log],
	["round", ops.round],
	["tanh", ops.tanh],
	["relu", ops.relu],
	["sigmoid", ops.sigmoid],
	["erf", ops.erf],
	["gelu", ops.gelu],
	["fastGelu", ops.fastGelu],
	["quickGelu", ops.quickGelu],
	["softmax", ops.softmax],
	["logSoftmax", ops.logSoftmax],
];

const halves = halfUnary.map(([name, op]) =>
	define(`${name} of float16`, { x: ["float16", ["tokens", 4], positive] }, ({ x }) => op(x)),
);

const relations: readonly (readonly [string, ops.Comparison, (a: number, b: number) => boolean])[] = [
	["equal", ops.equal, (a, b) => a === b],
	["greater", ops.greater, (a, b) => a > b],
	["greaterOrEqual", ops.greaterOrEqual, (a, b) => a >= b],
	["less", ops.less, (a, b) => a < b],
	["lessOrEqual", ops.lessOrEqual, (a, b) => a <= b],
];

const comparisons = relations.map(([name, op, f]) =>
	define(
		name,
		{ a: ["int64", ["tokens", 1], [0, 4]], b: ["int64", ["slots"], [0, 4]] },
		({ a, b }) => [op(a, b), op(ops.cast(a, "float32"), 2)],
		({ a, b }) => [(i, j) => Number(f(a.at(i, j), b.at(j))), (i, j) => Number(f(a.at(i, j), 2))],
	),
);

const logic = [
	define(
		"and, or, not",
		{ a: ["bool", ["tokens", 1], [0, 2]], b: ["bool", [3], [0, 2]] },
		({ a, b }) => [ops.and(a, b), ops.or(a, b), ops.not(a)],
		({ a, b }) => [(i, j) => a.at(i, j) & b.at(j), (i, j) => a.at(i, j) | b.at(j), (i, j) => 1 - a.at(i, j)],
	),
	define(
		"where",
		{ c: ["bool", ["tokens", 1], [0, 2]], a: ["float32", [3]], b: ["float32", ["batch", 1, 1]] },
		({ c, a, b }) => [ops.where(c, a, b), ops.where(c, a, -1), ops.where(c, -1, a)],
		({ c, a, b }) => [
			(k, i, j) => (c.at(i, j) ? a.at(j) : b.at(k, 0, 0)),
			(i, j) => (c.at(i, j) ? a.at(j) : -1),
			(i, j) => (c.at(i, j) ? -1 : a.at(j)),
		],
	),
];

const ties = define(
	"round sends ties to the even integer",
	{ x: ["int64", ["tokens"], [-4, 4]] },
	({ x }) => ops.round(ops.add(ops.cast(x, "float32"), 0.5)),
	({ x }) =>
		(i) =>
			x.at(i) + (Math.abs(x.at(i)) % 2),
);

const gelus = [
	define(
		"fastGelu and SiLU",
		{ x: ["float32", btd], b: ["float32", [6]] },
		({ x, b }) => [ops.fastGelu(x), ops.fastGelu(x, b), ops.quickGelu(x, { alpha: 1 })],
		({ x, b }) => {
			const f = (v: number): number =>
				(v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
			return [
				(...i) => f(x.at(...i)),
				(...i) => f(x.at(...i) + b.at(...i)),
				(...i) => x.at(...i) / (1 + Math.exp(-x.at(...i))),
			];
		},
		1e-4,
	),
];

export const elementwiseCases: readonly OperatorCase[] = [
	...arithmetic,
	...elementwise,
	...integers,
	...halves,
	...comparisons,
	...logic,
	...gelus,
	ties,
];
