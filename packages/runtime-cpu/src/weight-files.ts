/**
 * Weights on their way into onnxruntime, as files of a temporary folder. From files onnxruntime maps what it packs and
 * lets go of it afterwards; weights handed over in memory are copied by the binding, and kept as long as the session
 * (onnxruntime-node 1.30.0: SmolLM2-135M at 8 bits, 632 MB resident against 544). To be removed when the binding keeps
 * none.
 *
 * A process that is killed while it loads leaves its folder behind; a later load removes it.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { GraphFile } from "@tok/runtime";

/** Below this many bytes files are not worth their time. */
const LEAST = 2 ** 20;
const PREFIX = "tok-weights-";
/** Milliseconds after which a folder is no load's any more. */
export const ABANDONED = 3_600_000;

export interface WeightFiles {
	/** Where the paths of the weights lead from. */
	readonly folder: string;
	/** Deletes the files. What is mapped stays readable, except where the system forbids to delete it: then later. */
	remove(): void;
}

/** Undefined when the weights are small, or cannot be written: then they go through memory. */
export function writeWeights(weights: NonNullable<GraphFile["weights"]>): WeightFiles | undefined {
	if (weights.reduce((sum, { data }) => sum + data.byteLength, 0) < LEAST) return undefined;
	let folder: string | undefined;
	const remove = (): void => {
		if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
	};
	attempt(removeAbandoned);
	try {
		folder = mkdtempSync(join(tmpdir(), PREFIX));
		for (const { path, data } of weights) {
			const target = join(folder, path);
			mkdirSync(dirname(target), { recursive: true });
			writeFileSync(target, data);
		}
		return { folder, remove };
	} catch {
		attempt(remove);
		return undefined;
	}
}

/** Removes what loads that were killed have left. */
function removeAbandoned(): void {
	for (const name of readdirSync(tmpdir())) {
		if (!name.startsWith(PREFIX)) continue;
		const path = join(tmpdir(), name);
		// Another load may remove it first, and other users' are not ours to remove.
		attempt(() => {
			if (Date.now() - statSync(path).mtimeMs > ABANDONED) rmSync(path, { recursive: true, force: true });
		});
	}
}

/** For clean-up that may fail without harm. */
export function attempt(action: () => void): void {
	try {
		action();
	} catch {
		// A file that is still mapped cannot be deleted on Windows; the folder is the system's to tidy then.
	}
}
