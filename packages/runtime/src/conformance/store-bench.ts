/** What the cases of stores share: a store, the same by definition, and a graph that shows what the runtime feeds. */
import type { GraphSession, KvShape, KvStore, KvWrite, Runtime, Tensor } from "../runtime.ts";
import { expectEqual, expectThat } from "./conformance-case.ts";
import { freshRows, mirror, seen } from "./graphs.ts";
import { NaiveStore } from "./naive-store.ts";

/** Two layers, two heads, three segments, one of them without slots: every stride differs. */
export const shape: KvShape = { layers: 2, kvHeads: 2, headDim: 3, slots: [1, 5, 0] };

export class Bench {
	readonly store: KvStore;
	readonly naive: NaiveStore;
	readonly graph: GraphSession;
	#written = 0;

	constructor(store: KvStore, naive: NaiveStore, graph: GraphSession) {
		this.store = store;
		this.naive = naive;
		this.graph = graph;
	}

	static async create(runtime: Runtime, of: KvShape = shape): Promise<Bench> {
		return new Bench(runtime.createKvStore(of), new NaiveStore(of), await runtime.loadGraph(mirror(of)));
	}

	/** Runs the graph over `tokens` fresh rows that were never seen before, and leaves them to be written. */
	async run(tokens: number): Promise<Tensor> {
		const rows = freshRows(this.store.shape, tokens, 1 + this.#written);
		this.#written += rows.data.length;
		await this.graph.run({ rows }, { store: this.store });
		return rows;
	}

	async write(tokens: number, writes: readonly KvWrite[]): Promise<void> {
		const rows = await this.run(tokens);
		await this.store.write(writes);
		this.naive.write(writes, rows);
	}

	fork(): Bench {
		return new Bench(this.store.fork(), this.naive.fork(), this.graph);
	}

	/** The graph is fed what the naive store holds. */
	async check(when: string): Promise<void> {
		const outputs = await this.graph.run({ rows: freshRows(this.store.shape, 0) }, { store: this.store });
		const buffers = this.naive.buffers();
		expectThat(
			`${when}: each buffer is fed, and fresh stays in the store`,
			Object.keys(outputs).length === buffers.size,
		);
		for (const [name, { dims, data }] of buffers) {
			expectEqual(`${when}: dims of ${name}`, outputs[seen(name)]?.dims ?? [], dims);
			expectEqual(`${when}: ${name}`, outputs[seen(name)]?.data ?? [], data);
		}
	}
}

/** A sink, and a ring that wraps. */
export const wrapped: readonly KvWrite[] = [
	{ segment: 0, row: 0, slot: 0, length: 1 },
	{ segment: 1, row: 1, slot: 3, length: 2 },
	{ segment: 1, row: 3, slot: 0, length: 1 },
];
