/**
 * The name of a model's graphs, for a runtime that keeps them (`@tok/runtime`, SPEC.md R26): what they are made from,
 * and what makes them. A fingerprint reads only some of the weights, so the size of the file and the time of its last
 * change go with it. So do those of this code: another version, and another build of one version, makes its own.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Pairing } from "@tok/rope";
import type { TensorFile } from "./formats/tensor-file.ts";
import type { Precision } from "./model.ts";

export interface GraphIdentity {
	readonly fingerprint: string;
	readonly file: TensorFile;
	readonly precision: Precision;
	readonly pairing: Pairing;
}

/** Undefined where files do not lie on a disk: in memory, or in an application's bundle. */
export function graphKey({ fingerprint, file, precision, pairing }: GraphIdentity): string | undefined {
	const code = codeStamp();
	if (file.stamp === undefined || code === undefined) return undefined;
	const identity = JSON.stringify([code, fingerprint, file.stamp, precision, pairing]);
	return createHash("sha256").update(identity).digest("hex");
}

function codeStamp(): string | undefined {
	try {
		const { size, mtimeMs } = statSync(fileURLToPath(import.meta.url));
		// One folder up from `src` and from `dist` alike.
		const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
		const { version } = JSON.parse(manifest) as { readonly version: string };
		return `${version} ${size} ${mtimeMs}`;
	} catch {
		return undefined;
	}
}
