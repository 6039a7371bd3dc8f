/** Opens a model on the backend that is picked for it; refuses, before it is fetched, one that there is no room for. */
import { knownMemoryHeads, loadModel, type Model, type Progress } from "@tok/lm";
import { type LosableRuntime, pickRuntime } from "../lib/pick-runtime.ts";
import { growthOf, roomProblem } from "../lib/room.ts";
import type { Context } from "../lib/rpc.ts";
import type { LoadedModel, LoadRequest } from "../protocol.ts";
import { backends } from "./backends.ts";
import { breathing } from "./breathing-runtime.ts";

export interface OpenModel {
	readonly model: Model;
	readonly info: LoadedModel;
	/** Resolves with the browser's reason once everything on the device is gone; undefined where there is no device. */
	readonly lost: Promise<string> | undefined;
	/** Never rejects: what is lost is freed as far as it can be. */
	close(): Promise<void>;
}

export async function openModel(
	{ source, prefer, precision }: LoadRequest,
	{ signal, emit }: Context<Progress>,
): Promise<OpenModel> {
	const { quota, usage } = await estimate();
	const { runtime, name: backend, refusals } = await pickRuntime(backends, { prefer });
	const files = typeof source === "string" ? [] : [source].flat();
	const name = typeof source === "string" ? source : (files[0]?.name ?? "");
	const growth = growthOf(name, runtime.blockProducts !== undefined && precision !== "exact");
	const refused = new AbortController();
	const check = (bytes: number, missing: number): void => {
		const problem = roomProblem({ bytes, missing, growth, quota, usage });
		if (problem !== undefined) refused.abort(new Error(problem));
	};
	let asked = false;
	const onProgress = (progress: Progress): void => {
		emit(progress);
		if (asked || progress.stage !== "download" || progress.total === undefined) return;
		asked = true;
		check(progress.total, progress.total - progress.loaded);
	};
	try {
		check(
			files.reduce((sum, { size }) => sum + size, 0),
			0,
		);
		refused.signal.throwIfAborted();
		const memoryHeads = knownMemoryHeads(source);
		const model = await loadModel(source as string, {
			runtime: breathing(runtime),
			...(precision !== undefined && { precision }),
			...(memoryHeads !== undefined && { memoryHeads }),
			prepareChat: false,
			signal: AbortSignal.any([signal, refused.signal]),
			onProgress,
		});
		return {
			model,
			info: { ...describe(model), backend, refusals },
			lost: runtime.lost,
			close: () => close(model, runtime),
		};
	} catch (error) {
		await runtime.dispose();
		throw error;
	}
}

async function close(model: Model, runtime: LosableRuntime): Promise<void> {
	await model.dispose().catch(() => {});
	await runtime.dispose().catch(() => {});
}

function describe({ info, chatTemplate }: Model): Omit<LoadedModel, "backend" | "refusals"> {
	const { name, architecture, layers, queryHeads, kvHeads, contextLength, precision, memoryHeads } = info;
	const heads = memoryHeads.reduce((sum, { heads }) => sum + heads.length, 0);
	return {
		name,
		architecture,
		layers,
		heads: queryHeads,
		contextLength,
		precision,
		canChat: chatTemplate !== undefined,
		canRemember: heads > 0,
		memoryHeads: [heads, layers * kvHeads],
	};
}

/** Private windows and old browsers say nothing. */
async function estimate(): Promise<StorageEstimate> {
	try {
		return await navigator.storage.estimate();
	} catch {
		return {};
	}
}
