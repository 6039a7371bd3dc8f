/**
 * The CPU runtime: onnxruntime-node behind tok's runtime specification.
 *
 * onnxruntime-node passes CPU inputs without copying and copies every output, so the cache is only ever an input.
 * `run` computes synchronously on the calling thread: a server gives each model a worker thread.
 */
import { availableParallelism, totalmem } from "node:os";
import {
	checkMemoryLimit,
	type GraphContext,
	hostMemory,
	hostTransfers,
	OnnxGraphSession,
	OnnxRuntime,
} from "@tok/onnxruntime";
import { type GraphFile, type GraphSession, type Runtime, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-node";
import { MappedFiles } from "./mapped-files.ts";
import { type LoadableGraph, PreparedGraphs } from "./prepared-graphs.ts";
import { attempt, writeWeights } from "./weight-files.ts";

/** More than any machine has use for; onnxruntime starts as many as it is told to. */
const MAX_THREADS = 1024;

export interface CpuOptions {
	/** Threads of one operator, 1–1024. Defaults to the parallelism that the process may use. */
	readonly threads?: number;
	/** Bytes of memory that all key/value stores together may take. Defaults to the memory of the machine or its container. */
	readonly memoryLimit?: number;
	/**
	 * Folder in which graphs that are loaded under a key are kept for the next time: about as many bytes as their weights.
	 * It is made when first needed. Defaults to none.
	 */
	readonly prepared?: string;
	/**
	 * Folder for the values of archives, which is made when it is missing, in files that are mapped into memory: of those the system keeps what is read, as
	 * far as it has room. They have no names and go with their stores. Needs the package koffi, and Linux or macOS.
	 * Defaults to none: values lie in memory.
	 */
	readonly disk?: string;
	/**
	 * Told once when no file can be had there, perhaps before `cpu` returns, and values lie in memory from then on. It must
	 * not throw. Defaults to a process warning.
	 */
	readonly onDiskFailure?: (error: TokError) => void;
}

/** Creates the CPU runtime. Throws a TokError when an option is out of range, and for `disk` without koffi, or on Windows. */
export function cpu({
	threads = availableParallelism(),
	memoryLimit = availableMemory(),
	prepared,
	disk,
	onDiskFailure = (error) => process.emitWarning(error),
}: CpuOptions = {}): Runtime {
	checkThreads(threads);
	checkMemoryLimit("runtime-cpu", memoryLimit);
	const kept = prepared === undefined ? undefined : new PreparedGraphs(prepared);
	const files = disk === undefined ? undefined : new MappedFiles(disk, onDiskFailure);
	return new OnnxRuntime({
		name: "cpu",
		memoryLimit,
		blockProducts: "int8",
		memory: hostMemory(ort.Tensor, { disk: files }),
		transfers: () => hostTransfers(ort.Tensor),
		async load(context, make, { threads: own = threads, key }) {
			checkThreads(own);
			return key === undefined || kept === undefined
				? load(context, make(), own)
				: loadPrepared(context, kept, { key, make, threads: own });
		},
	});
}

function checkThreads(threads: number): void {
	if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
		throw new TokError(
			"runtime-cpu",
			`threads: expected an integer from 1 to ${MAX_THREADS}, got ${threads}. Leave it out for all cores.`,
		);
}

async function load(
	context: GraphContext,
	{ model, weights = [] }: GraphFile,
	threads: number,
): Promise<GraphSession> {
	const files = writeWeights(weights);
	try {
		return await create(context, { model, weights: files?.folder ?? weights }, threads);
	} finally {
		if (files !== undefined) attempt(files.remove);
	}
}

interface PreparedLoad {
	readonly key: string;
	readonly make: () => GraphFile;
	readonly threads: number;
}

/** The graph that is kept under the key, or else the one that `make` makes, which is kept then. */
async function loadPrepared(
	context: GraphContext,
	prepared: PreparedGraphs,
	{ key, make, threads }: PreparedLoad,
): Promise<GraphSession> {
	const attemptWith = async (graph: LoadableGraph | undefined): Promise<GraphSession | undefined> => {
		try {
			return graph && (await create(context, graph, threads));
		} catch {
			// Removed by another process meanwhile, or refused: then it is refused once more, with the reason.
			prepared.remove(key);
			return undefined;
		}
	};
	const known = await attemptWith(prepared.find(key));
	if (known !== undefined) return known;
	const file = make();
	return (await attemptWith(prepared.keep(key, file))) ?? load(context, file, threads);
}

function create(
	context: GraphContext,
	{ model, weights }: LoadableGraph,
	threads: number,
): Promise<GraphSession> {
	return OnnxGraphSession.load(context, () =>
		ort.InferenceSession.create(model, {
			executionProviders: ["cpu"],
			intraOpNumThreads: threads,
			graphOptimizationLevel: "all",
			logSeverityLevel: 3,
			// The arena keeps its blocks: resident memory is level after some chunks. A plan of memory per input shape
			// costs half as much again and gains no time. README.md has the figures.
			enableCpuMemArena: true,
			enableMemPattern: false,
			...(typeof weights === "string"
				? { extra: { session: { model_external_initializers_file_folder_path: weights } } }
				: { externalData: weights.map(({ path, data }) => ({ path, data })) }),
		}),
	);
}

/** What a process may sensibly allocate: the machine's memory, or its container's when that is smaller. */
function availableMemory(): number {
	// 0 when nothing constrains the process, and an absurdly large number under some cgroup v1 hosts.
	const constrained = process.constrainedMemory();
	return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
