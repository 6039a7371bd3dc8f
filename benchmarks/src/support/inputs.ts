/** What is measured: the model file and texts of known tokens. */
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { resolveModel } from "@tok/lm";

/** The model of every figure here, unless `--model` names another. */
export const MODEL = "smollm2-135m";

const goldens = new URL("../../../goldens/", import.meta.url);

export interface ModelFile {
	readonly path: string;
	readonly bytes: number;
}

/** Finds the model, or fetches it. */
export async function modelFile(name: string): Promise<ModelFile> {
	const { path } = await resolveModel(name, {});
	return { path, bytes: statSync(path).size };
}

/** The first 6,144 tokens of the long text, as transformers and llama.cpp cut it. */
export function goldenTokens(): Int32Array {
	return new Int32Array(golden("smollm2/tokens.i32"));
}

/** −ln p of tokens 1, 2, … by the reference implementation (nats). */
export function goldenLikelihoods(name: string): Float32Array {
	return new Float32Array(golden(`smollm2/${name}.nll.f32`));
}

export function longText(): string {
	return gunzipSync(readFileSync(new URL("text/long-eval-a.txt.gz", goldens))).toString("utf8");
}

/** Where measurements go unless told otherwise. */
export function resultPath(name: string): string {
	return fileURLToPath(new URL(`../../results/${name}`, import.meta.url));
}

function golden(name: string): ArrayBuffer {
	const bytes = readFileSync(new URL(name, goldens));
	return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}
