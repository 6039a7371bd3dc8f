/** What a folder of files holds, by their names alone. */
import { TokError } from "@tok/runtime";

export type ModelFormat = "gguf" | "transformers";

export type FolderFormat =
	| { readonly kind: "transformers" }
	| { readonly kind: "gguf"; readonly file: string };

/** `path` is the folder's, for errors. Throws a TokError when the names are not those of one model. */
export function formatOf(path: string, names: readonly string[]): FolderFormat {
	const safetensors = names.some((name) => name.endsWith(".safetensors"));
	if (names.includes("config.json") && safetensors) return { kind: "transformers" };
	const ggufs = names.filter((name) => name.toLowerCase().endsWith(".gguf")).sort();
	const [only] = ggufs;
	if (only !== undefined && ggufs.length === 1) return { kind: "gguf", file: only };
	const found =
		ggufs.length > 1
			? `${ggufs.length} .gguf files (${ggufs.slice(0, 5).join(", ")}${ggufs.length > 5 ? ", …" : ""}). Name one of them.`
			: safetensors
				? "*.safetensors without config.json. Put the model's config.json beside them."
				: names.includes("config.json")
					? "config.json without *.safetensors. Put the weights beside it."
					: "neither. Check the path.";
	throw new TokError(
		"lm",
		`model: expected ${path} to hold config.json and *.safetensors, or one .gguf file; found ${found}`,
	);
}
