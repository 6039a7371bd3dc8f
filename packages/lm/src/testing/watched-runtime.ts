/** A runtime that tells a test of every run of its graphs, before it begins. */
import type { GraphSession, Runtime } from "@tok/runtime";

export interface Run {
	/** Sequences of the batch. */
	readonly rows: number;
	/** Tokens of each. */
	readonly tokens: number;
}

/** Changes the runtime itself. When `watch` throws, so does the run. */
export function watchedRuntime(runtime: Runtime, watch: (run: Run) => void): Runtime {
	const loadGraph = runtime.loadGraph.bind(runtime);
	return Object.assign(runtime, {
		loadGraph: async (...values: Parameters<Runtime["loadGraph"]>): Promise<GraphSession> => {
			const graph = await loadGraph(...values);
			const run = graph.run.bind(graph);
			return Object.assign(graph, {
				run: async (...given: Parameters<GraphSession["run"]>) => {
					const [rows = 0, tokens = 0] = given[0].ids?.dims ?? [];
					watch({ rows, tokens });
					return run(...given);
				},
			});
		},
	});
}
