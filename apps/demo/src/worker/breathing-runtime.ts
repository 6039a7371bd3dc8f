/**
 * A runtime that lets messages in before every run. onnxruntime's WebAssembly computes where it is called, so a long
 * read would otherwise be deaf: a cancel has to be heard between two runs, whoever loops.
 */
import type { GraphSession, Runtime } from "@tok/runtime";

export function breathing(runtime: Runtime): Runtime {
	return {
		name: runtime.name,
		memoryLimit: runtime.memoryLimit,
		get valuesOnDisk() {
			return runtime.valuesOnDisk;
		},
		kvFormats: runtime.kvFormats,
		blockProducts: runtime.blockProducts,
		arithmetic: runtime.arithmetic,
		emptyTensors: runtime.emptyTensors,
		loadGraph: async (file, options) => breathingSession(await runtime.loadGraph(file, options)),
		createKvStore: (shape) => runtime.createKvStore(shape),
		createKvBank: (shape, size) => runtime.createKvBank(shape, size),
		dispose: () => runtime.dispose(),
		[Symbol.asyncDispose]: () => runtime.dispose(),
	};
}

function breathingSession(session: GraphSession): GraphSession {
	return {
		inputNames: session.inputNames,
		outputNames: session.outputNames,
		async run(feeds, options) {
			await nextTurn();
			return session.run(feeds, options);
		},
		dispose: () => session.dispose(),
		[Symbol.asyncDispose]: () => session.dispose(),
	};
}

const channel = new MessageChannel();
const turns: (() => void)[] = [];
channel.port1.onmessage = () => turns.shift()?.();

/** A message to oneself comes after those that have come before; a timer would wait 4 ms. */
function nextTurn(): Promise<void> {
	return new Promise((resolve) => {
		turns.push(resolve);
		channel.port2.postMessage(null);
	});
}
