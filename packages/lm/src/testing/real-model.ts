/** Where tests find the real model. They skip, saying so, where it is not at hand. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const file = join("smollm2-135m-instruct-q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf");

/** SmolLM2-135M-Instruct as Q4_1 GGUF below the folder that TOK_MODELS names; undefined when it is not there. */
export function realModelPath(): string | undefined {
	const folder = process.env.TOK_MODELS;
	const path = folder === undefined ? undefined : join(folder, file);
	return path !== undefined && existsSync(path) ? path : undefined;
}

export const realModelReason = "needs SmolLM2-135M-Instruct.Q4_1.gguf below the folder that TOK_MODELS names";
