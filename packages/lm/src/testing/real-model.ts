/** Where tests find the real model. They skip, saying so, where it is not at hand. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { resolveModel } from "../resolve/resolve-model.ts";

const file = "SmolLM2-135M-Instruct.Q4_1.gguf";

/** SmolLM2-135M-Instruct as Q4_1 GGUF below the folder that TOK_MODELS names; undefined when it is not there. */
export function realModelPath(): string | undefined {
	const folder = process.env.TOK_MODELS;
	if (folder === undefined || !existsSync(folder)) return undefined;
	return ["", ...readdirSync(folder)]
		.map((name) => join(folder, name, file))
		.find((path) => existsSync(path));
}

export const realModelReason = "needs SmolLM2-135M-Instruct.Q4_1.gguf below the folder that TOK_MODELS names";

/** As `realModelPath`; without TOK_MODELS the model comes as users get it, from the cache or over the network. */
export async function fetchedModelPath(): Promise<{ readonly path?: string; readonly reason: string }> {
	const path = realModelPath();
	if (path !== undefined || process.env.TOK_MODELS) return { ...(path && { path }), reason: realModelReason };
	try {
		return { path: (await resolveModel("smollm2-135m")).path, reason: "" };
	} catch (error) {
		return { reason: (error as Error).message };
	}
}
