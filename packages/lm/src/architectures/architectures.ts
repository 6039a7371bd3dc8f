/** Every architecture that tok reads, and how a file's own name finds its architecture. */
import { TokError } from "@tok/runtime";
import type { Architecture } from "./architecture.ts";
import { gemma3 } from "./gemma3.ts";
import { gptOss } from "./gpt-oss.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { olmo2 } from "./olmo2.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";

const architectures: readonly Architecture[] = [
	llama,
	mistral,
	qwen2,
	qwen3,
	phi3,
	gemma3,
	smollm3,
	olmo2,
	gptOss,
];

/** Finds the architecture by config.json's `model_type`. Throws when tok has none of that name. */
export function architectureByModelType(modelType: string, source: string): Architecture {
	return found(
		architectures.find(({ name, aliases = [] }) => name === modelType || aliases.includes(modelType)),
		modelType,
		source,
	);
}

/** Finds the architecture by GGUF's `general.architecture`. Throws when tok has none of that name. */
export function architectureByGgufName(ggufName: string, source: string): Architecture {
	return found(
		architectures.find(({ gguf }) => gguf.name === ggufName),
		ggufName,
		source,
	);
}

function found(architecture: Architecture | undefined, name: string, source: string): Architecture {
	if (architecture !== undefined) return architecture;
	const known = architectures.map((known) => known.name).join(", ");
	throw new TokError(
		"lm",
		`${source}: expected an architecture among ${known}, got ${JSON.stringify(name)}.`,
	);
}
