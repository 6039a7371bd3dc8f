/** The conformance suite fails where it should: each fault here is caught by the case named beside it. */
import type { GraphSession, KvStore, Runtime } from "@tok/runtime";
import { conformance } from "@tok/runtime/conformance";
import { expect, test } from "vitest";
import { cpu } from "./cpu.ts";

interface Fault {
	readonly breaks: string;
	readonly caughtBy: string;
	readonly store?: (store: KvStore) => Partial<KvStore>;
	readonly session?: (session: GraphSession) => Partial<GraphSession>;
}

/** A runtime whose stores and sessions have some methods replaced. */
function faulty({ store: storeFault, session: sessionFault }: Omit<Fault, "breaks" | "caughtBy">): Runtime {
	const runtime = cpu({ threads: 1 });
	const { createKvStore, loadGraph } = methodsOf(runtime);
	return Object.assign(runtime, {
		createKvStore: (...values: Parameters<typeof createKvStore>) => {
			const store = createKvStore(...values);
			return Object.assign(store, storeFault?.(methodsOf(store)));
		},
		loadGraph: async (...values: Parameters<typeof loadGraph>) => {
			const session = await loadGraph(...values);
			return Object.assign(session, sessionFault?.(methodsOf(session)));
		},
	});
}

/** An object's methods as they are now, bound to it. */
function methodsOf<T extends object>(object: T): T {
	const members = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object)));
	const methods = members.flatMap(([name, { value }]) =>
		typeof value === "function" && name !== "constructor" ? [[name, value.bind(object)]] : [],
	);
	return Object.fromEntries(methods);
}

const faults: readonly Fault[] = [
	{
		breaks: "the part of a write behind the ring's end is lost",
		caughtBy: "R13a",
		store: (store) => ({ write: (writes) => store.write(writes.slice(0, 2)) }),
	},
	{
		breaks: "a write lands one slot beside",
		caughtBy: "R20a",
		store: (store) => ({
			write: (writes) =>
				store.write(writes.map((write) => ({ ...write, slot: write.segment && (write.slot + 1) % 5 }))),
		}),
	},
	{
		breaks: "writes out of range are skipped in silence",
		caughtBy: "R15a",
		store: (store) => ({ write: (writes) => store.write(writes).catch(() => {}) }),
	},
	{ breaks: "growing does nothing", caughtBy: "R16a", store: () => ({ grow: () => {} }) },
	{
		breaks: "a fork is the store itself",
		caughtBy: "R17a",
		store: () => ({
			fork(this: KvStore) {
				return this;
			},
		}),
	},
	{
		breaks: "missing bytes are taken for zeros",
		caughtBy: "R19a",
		store: (store) => ({ load: (bytes) => store.load(bytes).catch(() => {}) }),
	},
	{ breaks: "a disposed store lives on", caughtBy: "R21c", store: () => ({ dispose: () => {} }) },
	{
		breaks: "all outputs come back, whatever was asked for",
		caughtBy: "R7a",
		session: (session) => ({
			run: (feeds, options) => session.run(feeds, options?.store && { store: options.store }),
		}),
	},
	{
		breaks: "the outputs of all runs share memory",
		caughtBy: "R8a",
		session: (session) => {
			let first: Awaited<ReturnType<GraphSession["run"]>> | undefined;
			return {
				async run(feeds, options) {
					const outputs = await session.run(feeds, options);
					first ??= outputs;
					(first.y?.data as Float32Array | undefined)?.set(outputs.y?.data as Float32Array);
					return first;
				},
			};
		},
	},
	{
		breaks: "errors are not TokErrors",
		caughtBy: "R6a",
		session: (session) => ({
			run: (feeds, options) =>
				session.run(feeds, options).catch((error: Error) => {
					throw new Error(error.message);
				}),
		}),
	},
];

test.each(faults)("$caughtBy fails when $breaks", async (fault) => {
	const byTheCase = conformance.filter(({ id }) => id === fault.caughtBy);
	expect(byTheCase).toHaveLength(1);
	for (const { run } of byTheCase) await expect(run(() => faulty(fault))).rejects.toThrow("expected");
	for (const { run } of byTheCase) await expect(run(() => faulty({}))).resolves.toBeUndefined();
});
