/** Linear layers whose weights lie in blocks, against the numbers that the codes stand for. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { sum } from "../testing/nd-array.ts";
import { randomTensor, seeded } from "../testing/random.ts";
import { runGraph } from "../testing/run-graph.ts";
import { linear } from "./linear.ts";

const [rows, width, outputs] = [3, 64, 5];

interface Case {
	readonly bits: 4 | 8;
	readonly blockSize: 16 | 32;
	readonly terms: 0 | 1 | 2;
}

/** How far the product is off, as a share of what rounding once in these blocks may do at the worst. */
async function error({ bits, blockSize, terms }: Case): Promise<{ worst: number; mean: number }> {
	const random = seeded(bits + blockSize);
	const blocks = width / blockSize;
	const x = randomTensor(random, "float32", [rows, width]);
	// A few channels are many times as large as the others, as in a model.
	for (let i = 0; i < x.data.length; i += 23) x.data[i] = 40 * (x.data[i] as number);
	const codes = randomTensor(random, "uint8", [outputs, blocks, (blockSize * bits) / 8], [0, 256]);
	const scales = randomTensor(random, "float32", [outputs, blocks], [0.01, 0.02]);
	const graph = new GraphBuilder("linear");
	const product = linear(graph.input("x", "float32", ["rows", width]), {
		kind: "blocks",
		bits,
		blockSize,
		terms,
		codes: graph.constant("codes", codes),
		scales: graph.constant("scales", scales),
	});
	graph.output(product, "product");
	const { product: got } = await runGraph(graph, { x });
	const weight = (j: number, d: number): number => {
		const byte = codes.data[Math.floor(((j * width + d) * bits) / 8)] as number;
		const code = bits === 8 ? byte - 128 : ((byte >> (4 * (d % 2))) & 15) - 8;
		return code * (scales.data[j * blocks + Math.floor(d / blockSize)] as number);
	};
	const at = (row: number, d: number): number => x.data[row * width + d] as number;
	const shares = Array.from({ length: rows * outputs }, (_, i) => {
		const [row, j] = [Math.floor(i / outputs), i % outputs];
		const exact = sum(width, (d) => at(row, d) * weight(j, d));
		const allowed = sum(width, (d) => {
			const from = d - (d % blockSize);
			const most = Math.max(...Array.from({ length: blockSize }, (_, k) => Math.abs(at(row, from + k))));
			return (most / 254) * Math.abs(weight(j, d));
		});
		return Math.abs((got?.data[i] as number) - exact) / allowed;
	});
	return { worst: Math.max(...shares), mean: sum(shares.length, (i) => shares[i] as number) / shares.length };
}

test.each([
	[4, 16],
	[4, 32],
	[8, 16],
	[8, 32],
] as const)("%i bits in blocks of %i", async (bits, blockSize) => {
	const [floats, once, twice] = [
		await error({ bits, blockSize, terms: 0 }),
		await error({ bits, blockSize, terms: 1 }),
		await error({ bits, blockSize, terms: 2 }),
	];
	expect(floats.worst).toBeLessThan(1e-3);
	expect(once.worst).toBeLessThanOrEqual(1);
	// Where products do not round, both are floats.
	expect(twice.mean).toBeLessThan(Math.max(0.05 * once.mean, 1e-3));
});
