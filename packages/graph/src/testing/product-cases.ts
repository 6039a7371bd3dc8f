/** Products, reductions, normalisations, rotation and quantised weights, for operators.test.ts. */
import * as ops from "../index.ts";
import { coordinates, sum } from "./nd-array.ts";
import { define, type OperatorCase, positive } from "./operator-case.ts";

const btd = ["batch", "tokens", 6] as const;

const products = [
	define(
		"matMul",
		{ a: ["float32", btd], b: ["float32", [6, 5]] },
		({ a, b }) => ops.matMul(a, b),
		({ a, b }) =>
			(n, i, j) =>
				sum(6, (k) => a.at(n, i, k) * b.at(k, j)),
	),
	define(
		"matMul broadcasts leading axes",
		{ a: ["float32", ["batch", 1, "tokens", 4]], b: ["float32", [3, 4, "slots"]] },
		({ a, b }) => ops.matMul(a, b),
		({ a, b }) =>
			(n, h, i, j) =>
				sum(4, (k) => a.at(n, h, i, k) * b.at(h, k, j)),
	),
	define(
		"matMul of vectors",
		{ a: ["float32", ["tokens"]], b: ["float32", ["batch", "tokens", 3]], c: ["float32", ["tokens"]] },
		({ a, b, c }) => [ops.matMul(a, b), ops.matMul(a, c), ops.matMul(ops.transpose(b, [0, 2, 1]), a)],
		({ a, b, c }) => {
			const [tokens = 0] = a.dims;
			return [
				(n, j) => sum(tokens, (k) => a.at(k) * b.at(n, k, j)),
				() => sum(tokens, (k) => a.at(k) * c.at(k)),
				(n, j) => sum(tokens, (k) => a.at(k) * b.at(n, k, j)),
			];
		},
	),
	define(
		"matMul of int32 and float16",
		{ a: ["int32", ["tokens", 2]], b: ["float16", ["tokens", 2]] },
		({ a, b }) => [ops.matMul(a, ops.transpose(a, [1, 0])), ops.matMul(b, ops.transpose(b, [1, 0]))],
	),
	define(
		"gemm",
		{ a: ["float32", [3, "tokens"]], b: ["float32", [4, 3]], c: ["float32", [4]] },
		({ a, b, c }) => [ops.gemm(a, b, { c, alpha: 2, beta: 0.5, transA: true, transB: true }), ops.gemm(b, a)],
		({ a, b, c }) => [
			(i, j) => 2 * sum(3, (k) => a.at(k, i) * b.at(j, k)) + c.at(j) / 2,
			(i, j) => sum(3, (k) => b.at(i, k) * a.at(k, j)),
		],
	),
	define(
		"fusedMatMul",
		{ a: ["float32", ["batch", 4, "tokens"]], b: ["float32", ["batch", 5, 4]] },
		({ a, b }) => [ops.fusedMatMul(a, b, { transA: true, transB: true, alpha: 0.25 }), ops.fusedMatMul(b, a)],
		({ a, b }) => [
			(n, i, j) => sum(4, (k) => a.at(n, k, i) * b.at(n, j, k)) / 4,
			(n, i, j) => sum(4, (k) => b.at(n, i, k) * a.at(n, k, j)),
		],
	),
];

const reductions = [
	define(
		"reduceSum, reduceMean, reduceMax, reduceMin",
		{ x: ["float32", ["batch", "tokens", 4]] },
		({ x }) => [
			ops.reduceSum(x, [-1]),
			ops.reduceMean(x, [2], { keepDims: true }),
			ops.reduceMax(x, [2]),
			ops.reduceMin(x, [2]),
			ops.reduceSum(x),
			ops.reduceSum(x, [0, 1], { keepDims: true }),
			ops.reduceMean(x, []),
		],
		({ x }) => {
			const [batch = 0, tokens = 0] = x.dims;
			const row = (n: number, t: number): number[] => [0, 1, 2, 3].map((d) => x.at(n, t, d));
			const column = (d: number): number => sum(batch, (n) => sum(tokens, (t) => x.at(n, t, d)));
			return [
				(n, t) => sum(4, (d) => x.at(n, t, d)),
				(n, t) => sum(4, (d) => x.at(n, t, d)) / 4,
				(n, t) => Math.max(...row(n, t)),
				(n, t) => Math.min(...row(n, t)),
				() => sum(4, column),
				(_, __, d) => column(d),
				x.at,
			];
		},
	),
	define(
		"reduceSum of int64 and int32, reduceMean of int32",
		{ x: ["int64", ["tokens", 3]], y: ["int32", ["tokens", 3], [3, 4]] },
		({ x, y }) => [ops.reduceSum(x, [1]), ops.reduceSum(y, [1]), ops.reduceMean(y, [1])],
		({ x }) => [(t) => sum(3, (d) => x.at(t, d)), () => 9, () => 3],
	),
	define(
		"softmax and logSoftmax",
		{ x: ["float32", ["tokens", 5]] },
		({ x }) => [ops.softmax(x), ops.softmax(x, 0), ops.logSoftmax(x)],
		({ x }) => {
			const [tokens = 0] = x.dims;
			const share = (t: number, d: number): number =>
				Math.exp(x.at(t, d)) / sum(5, (k) => Math.exp(x.at(t, k)));
			return [
				share,
				(t, d) => Math.exp(x.at(t, d)) / sum(tokens, (k) => Math.exp(x.at(k, d))),
				(t, d) => Math.log(share(t, d)),
			];
		},
	),
];

const rms = (f: (d: number) => number, n: number, epsilon: number): number =>
	Math.sqrt(sum(n, (d) => f(d) ** 2) / n + epsilon);

const normalisations = [
	define(
		"layerNormalization",
		{ x: ["float32", btd], s: ["float32", [6]], b: ["float32", [6]], w: ["float32", ["tokens", 6]] },
		({ x, s, b, w }) => [
			ops.layerNormalization(x, s, { epsilon: 1e-3, bias: b }),
			ops.layerNormalization(x, s, { epsilon: 1e-3 }),
			ops.layerNormalization(x, w, { epsilon: 1e-3, axis: 1 }),
		],
		({ x, s, b, w }) => {
			const [, tokens = 0] = x.dims;
			const norm = (n: number, t: number, d: number): number => {
				const mean = sum(6, (k) => x.at(n, t, k)) / 6;
				return ((x.at(n, t, d) - mean) / rms((k) => x.at(n, t, k) - mean, 6, 1e-3)) * s.at(d);
			};
			return [
				(n, t, d) => norm(n, t, d) + b.at(d),
				norm,
				(n, t, d) => {
					const flat = (k: number): number => x.at(n, Math.floor(k / 6), k % 6);
					const mean = sum(6 * tokens, flat) / (6 * tokens);
					return ((x.at(n, t, d) - mean) / rms((k) => flat(k) - mean, 6 * tokens, 1e-3)) * w.at(t, d);
				},
			];
		},
		1e-4,
	),
	define(
		"simplifiedLayerNormalization",
		{ x: ["float32", ["batch", "tokens", 2, 6]], s: ["float32", [6]] },
		({ x, s }) => ops.simplifiedLayerNormalization(x, s, { epsilon: 0.1 }),
		({ x, s }) =>
			(n, t, h, d) =>
				(x.at(n, t, h, d) / rms((k) => x.at(n, t, h, k), 6, 0.1)) * s.at(d),
	),
	define(
		"skipSimplifiedLayerNormalization",
		{ x: ["float32", btd], y: ["float32", btd], s: ["float32", [6]], b: ["float32", [6]] },
		({ x, y, s, b }) => {
			const plain = ops.skipSimplifiedLayerNormalization(x, y, s, { epsilon: 0.1 });
			const biased = ops.skipSimplifiedLayerNormalization(x, y, s, { epsilon: 0.1, bias: b });
			return [plain.output, plain.sum, biased.output, biased.sum];
		},
		({ x, y, s, b }) => {
			const total = (n: number, t: number, d: number): number => x.at(n, t, d) + y.at(n, t, d);
			const more = (n: number, t: number, d: number): number => total(n, t, d) + b.at(d);
			return [
				(n, t, d) => (total(n, t, d) / rms((k) => total(n, t, k), 6, 0.1)) * s.at(d),
				total,
				(n, t, d) => (more(n, t, d) / rms((k) => more(n, t, k), 6, 0.1)) * s.at(d),
				more,
			];
		},
	),
	define("normalisations of float16", { x: ["float16", btd], s: ["float16", [6]] }, ({ x, s }) => [
		ops.layerNormalization(x, s, { epsilon: 1e-3 }),
		ops.simplifiedLayerNormalization(x, s, { epsilon: 1e-3 }),
		ops.skipSimplifiedLayerNormalization(x, x, s, { epsilon: 1e-3 }).sum,
	]),
];

/** Head of width `width`, of which `rotary` dimensions turn by the angle whose cosine and sine are at this row. */
function rotate(
	x: (d: number) => number,
	d: number,
	rotary: number,
	interleaved: boolean,
	cos: (i: number) => number,
	sin: (i: number) => number,
): number {
	if (d >= rotary) return x(d);
	const half = rotary / 2;
	const [pair, first] = interleaved ? [d >> 1, d % 2 === 0] : [d % half, d < half];
	const [a, b] = interleaved ? [x(2 * pair), x(2 * pair + 1)] : [x(pair), x(pair + half)];
	return first ? a * cos(pair) - b * sin(pair) : b * cos(pair) + a * sin(pair);
}

const rotary = [false, true].flatMap((interleaved) => [
	define(
		`rotaryEmbedding of 4 axes, ${interleaved ? "interleaved" : "halves"}`,
		{
			x: ["float32", ["batch", 3, "tokens", 8]],
			p: ["int64", ["batch", "tokens"], [0, 9]],
			cos: ["float32", [9, 4]],
			sin: ["float32", [9, 4]],
		},
		({ x, p, cos, sin }) => ops.rotaryEmbedding(x, p, cos, sin, { interleaved }),
		({ x, p, cos, sin }) =>
			(n, h, t, d) =>
				rotate(
					(k) => x.at(n, h, t, k),
					d,
					8,
					interleaved,
					(i) => cos.at(p.at(n, t), i),
					(i) => sin.at(p.at(n, t), i),
				),
	),
	define(
		`rotaryEmbedding of 3 axes, ${interleaved ? "interleaved" : "halves"}`,
		{
			x: ["float32", ["batch", "tokens", 24]],
			p: ["int64", ["batch", "tokens"], [0, 9]],
			cos: ["float32", [9, 4]],
			sin: ["float32", [9, 4]],
		},
		({ x, p, cos, sin }) => ops.rotaryEmbedding(x, p, cos, sin, { interleaved }),
		({ x, p, cos, sin }) =>
			(n, t, r) =>
				rotate(
					(k) => x.at(n, t, r - (r % 8) + k),
					r % 8,
					8,
					interleaved,
					(i) => cos.at(p.at(n, t), i),
					(i) => sin.at(p.at(n, t), i),
				),
	),
	define(
		`rotaryEmbedding of part of a head, ${interleaved ? "interleaved" : "halves"}`,
		{
			x: ["float32", ["batch", 3, "tokens", 12]],
			y: ["float32", ["batch", "tokens", 36]],
			p: ["int64", ["batch", "tokens"], [0, 9]],
			cos: ["float32", [9, 4]],
			sin: ["float32", [9, 4]],
		},
		({ x, y, p, cos, sin }) => [
			ops.rotaryEmbedding(x, p, cos, sin, { interleaved, rotaryDim: 8 }),
			ops.rotaryEmbedding(y, p, cos, sin, { interleaved, numHeads: 3, rotaryDim: 8 }),
		],
		({ x, y, p, cos, sin }) => [
			(n, h, t, d) =>
				rotate(
					(k) => x.at(n, h, t, k),
					d,
					8,
					interleaved,
					(i) => cos.at(p.at(n, t), i),
					(i) => sin.at(p.at(n, t), i),
				),
			(n, t, r) =>
				rotate(
					(k) => y.at(n, t, r - (r % 12) + k),
					r % 12,
					8,
					interleaved,
					(i) => cos.at(p.at(n, t), i),
					(i) => sin.at(p.at(n, t), i),
				),
		],
	),
	define(
		`rotaryEmbedding from one position on, ${interleaved ? "interleaved" : "halves"}`,
		{
			x: ["float32", ["batch", 1, "tokens", 8]],
			p: ["int64", [1], [0, 3]],
			cos: ["float32", [9, 4]],
			sin: ["float32", [9, 4]],
		},
		({ x, p, cos, sin }) => ops.rotaryEmbedding(x, p, cos, sin, { interleaved }),
		({ x, p, cos, sin }) =>
			(n, h, t, d) =>
				rotate(
					(k) => x.at(n, h, t, k),
					d,
					8,
					interleaved,
					(i) => cos.at(p.at(0) + t, i),
					(i) => sin.at(p.at(0) + t, i),
				),
	),
]);

/** Code i of a row whose bytes hold 8 / bits codes each, the first in the low bits. */
function unpack(byte: (i: number) => number, bits: number, i: number): number {
	const perByte = 8 / bits;
	return (byte(Math.floor(i / perByte)) >> ((i % perByte) * bits)) & (2 ** bits - 1);
}

const quantised = ([2, 4, 8] as const).flatMap((bits) => {
	const [k, n, blocks, bytes] = [40, 5, 3, 2 * bits] as const;
	const zeros = Math.ceil((blocks * bits) / 8);
	const inputs = {
		a: ["float32", ["batch", "tokens", k]],
		q: ["uint8", [n, blocks, bytes], [0, 256]],
		s: ["float32", [n, blocks]],
		z: ["uint8", [n, zeros], [0, 256]],
		f: ["float32", [n, blocks], [0, 4]],
		b: ["float32", [n]],
	} as const;
	const table = {
		q: ["uint8", [7, (32 * bits) / 8], [0, 256]],
		s: ["float32", [7, 2]],
		z: ["uint8", [7, Math.ceil((2 * bits) / 8)], [0, 256]],
		i: ["int64", ["batch", "tokens"], [0, 7]],
	} as const;
	return [
		define(
			`matMulNBits of ${bits} bits`,
			inputs,
			({ a, q, s, z, f, b }) => [
				ops.matMulNBits(a, q, s, { bits, blockSize: 16 }),
				ops.matMulNBits(a, q, s, { bits, blockSize: 16, zeroPoints: z, bias: b }),
				ops.matMulNBits(a, q, ops.reshape(s, [-1]), { bits, blockSize: 16, accuracyLevel: 1 }),
				...(bits === 8 ? [] : [ops.matMulNBits(a, q, s, { bits, blockSize: 16, zeroPoints: f })]),
			],
			({ a, q, s, z, f, b }) => {
				const product = (i: readonly number[], zero: (j: number, block: number) => number): number => {
					const j = i[2] ?? 0;
					return sum(k, (c) => {
						const block = Math.floor(c / 16);
						return (
							a.at(i[0] ?? 0, i[1] ?? 0, c) *
							(unpack((e) => q.at(j, block, e), bits, c % 16) - zero(j, block)) *
							s.at(j, block)
						);
					});
				};
				const middle = (...i: number[]): number => product(i, () => 2 ** (bits - 1));
				return [
					middle,
					(...i) => product(i, (j, block) => unpack((e) => z.at(j, e), bits, block)) + b.at(i[2] ?? 0),
					middle,
					...(bits === 8 ? [] : [(...i: number[]) => product(i, f.at)]),
				];
			},
			2e-4,
		),
		define(
			`gatherBlockQuantized of ${bits} bits`,
			table,
			({ q, s, z, i }) => [
				ops.gatherBlockQuantized(q, i, s, { bits, blockSize: 16 }),
				ops.gatherBlockQuantized(q, ops.cast(i, "int32"), s, { bits, blockSize: 16, zeroPoints: z }),
			],
			({ q, s, z, i }) => {
				const look = (
					n: number,
					t: number,
					d: number,
					zero: (r: number, block: number) => number,
				): number => {
					const row = i.at(n, t);
					const block = Math.floor(d / 16);
					return (unpack((e) => q.at(row, e), bits, d) - zero(row, block)) * s.at(row, block);
				};
				return [
					(n, t, d) => look(n, t, d, () => 2 ** (bits - 1)),
					(n, t, d) => look(n, t, d, (r, block) => unpack((e) => z.at(r, e), bits, block)),
				];
			},
		),
	];
});

// One side stays within 7 bits: see matMulInteger about CPUs without VNNI.
const integerProducts = [
	define(
		"quantizeLinear",
		{
			x: ["float32", ["tokens", 8], [-200, 200]],
			s: ["float32", [], positive],
			z: ["uint8", [], [0, 256]],
			n: ["int8", ["tokens", 8], [-64, 64]],
		},
		({ x, s, z, n }, graph) => [
			ops.quantizeLinear(x, s, z),
			ops.quantizeLinear(ops.add(ops.cast(n, "float32"), 0.5), 1, graph.scalar("int8", 100)),
		],
		({ x, s, z, n }) => [
			(...i) => Math.min(255, Math.max(0, Math.round(x.at(...i) / s.at()) + z.at())),
			(...i) => Math.min(127, 2 * Math.round((n.at(...i) + 0.5) / 2) + 100),
		],
	),
	define(
		"dynamicQuantizeLinear",
		{ x: ["float32", ["tokens", 8]] },
		({ x }) => {
			const { quantised, scale, zeroPoint } = ops.dynamicQuantizeLinear(x);
			return [scale, zeroPoint, quantised];
		},
		({ x }) => {
			const all = [...coordinates(x.dims)].map((i) => x.at(...i));
			const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
			const scale = (high - low) / 255;
			const zero = Math.round(-low / scale);
			return [
				() => scale,
				() => zero,
				(...i) => Math.min(255, Math.max(0, Math.round(x.at(...i) / scale) + zero)),
			];
		},
	),
	define(
		"matMulInteger",
		{
			a: ["uint8", ["batch", "tokens", 6], [0, 256]],
			b: ["int8", [6, 3], [-64, 64]],
			za: ["uint8", [], [0, 256]],
			zb: ["int8", [], [-9, 9]],
		},
		({ a, b, za, zb }) => [
			ops.matMulInteger(a, b),
			ops.matMulInteger(a, b, { aZeroPoint: za }),
			ops.matMulInteger(a, b, { aZeroPoint: za, bZeroPoint: zb }),
		],
		({ a, b, za, zb }) => [
			(n, t, j) => sum(6, (k) => a.at(n, t, k) * b.at(k, j)),
			(n, t, j) => sum(6, (k) => (a.at(n, t, k) - za.at()) * b.at(k, j)),
			(n, t, j) => sum(6, (k) => (a.at(n, t, k) - za.at()) * (b.at(k, j) - zb.at())),
		],
	),
	define(
		"matMulIntegerToFloat",
		{
			a: ["uint8", ["batch", "tokens", 6], [0, 256]],
			b: ["int8", [6, 3], [-64, 64]],
			sa: ["float32", [], positive],
			sb: ["float32", [3], positive],
			za: ["uint8", [], [0, 256]],
			bias: ["float32", [3]],
		},
		({ a, b, sa, sb, za, bias }) => ops.matMulIntegerToFloat(a, b, sa, sb, { aZeroPoint: za, bias }),
		({ a, b, sa, sb, za, bias }) =>
			(n, t, j) =>
				sum(6, (k) => (a.at(n, t, k) - za.at()) * b.at(k, j)) * sa.at() * sb.at(j) + bias.at(j),
	),
	define(
		"matMulIntegerToFloat, a scale for each column of each matrix",
		{
			a: ["uint8", ["batch", "tokens", 6], [0, 128]],
			b: ["int8", ["batch", 6, 3]],
			sa: ["float32", [], positive],
			sb: ["float32", ["batch", 1, 3], positive],
			za: ["uint8", [], [0, 128]],
		},
		({ a, b, sa, sb, za }) => ops.matMulIntegerToFloat(a, b, sa, sb, { aZeroPoint: za }),
		({ a, b, sa, sb, za }) =>
			(n, t, j) =>
				sum(6, (k) => (a.at(n, t, k) - za.at()) * b.at(n, k, j)) * sa.at() * sb.at(n, 0, j),
	),
];

export const productCases: readonly OperatorCase[] = [
	...products,
	...reductions,
	...normalisations,
	...rotary,
	...quantised,
	...integerProducts,
];
