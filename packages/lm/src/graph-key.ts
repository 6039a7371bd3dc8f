/**
 * The name of a model's graphs, for a runtime that keeps them (`@tok/runtime`, SPEC.md R26): what they are made from,
 * and what makes them. A fingerprint reads only some of the weights, so the size of the file and the time of its last
 * change go with it. So do those of this code: another version, and another build of one version, makes its own.
 */
import type { Pairing } from "@tok/rope";
import { platform } from "#platform";
import type { TensorFile } from "./formats/tensor-file.ts";
import type { Precision } from "./model.ts";
import { sha256OfText } from "./sha256.ts";

export interface GraphIdentity {
	readonly fingerprint: string;
	readonly file: TensorFile;
	readonly precision: Precision;
	readonly pairing: Pairing;
}

/** Undefined where files do not lie on a disk: in memory, in an application's bundle, or in a browser. */
export function graphKey({ fingerprint, file, precision, pairing }: GraphIdentity): string | undefined {
	const code = platform.codeStamp();
	if (file.stamp === undefined || code === undefined) return undefined;
	return sha256OfText(JSON.stringify([code, fingerprint, file.stamp, precision, pairing]));
}
