/** Which files of a repository make a model. */
import { TokError } from "@tok/runtime";
import { isSafeSegment } from "./model-name.ts";

export interface HubFile {
	readonly path: string;
	/** Bytes. */
	readonly size: number;
	/** Lower-case hexadecimal; undefined when the hub does not tell. */
	readonly sha256?: string | undefined;
}

/** What a folder in transformers' layout needs; *.safetensors come on top. */
const folderFiles: ReadonlySet<string> = new Set([
	"config.json",
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"special_tokens_map.json",
	"added_tokens.json",
	"chat_template.jinja",
	"chat_template.json",
	"model.safetensors.index.json",
]);

/** A folder in transformers' layout, or the one GGUF file that the repository holds. Throws a TokError for neither. */
export function chooseFiles(repo: string, files: readonly HubFile[]): HubFile[] {
	const all = files.filter((file) => isSafeSegment(file.path));
	const safetensors = all.filter((file) => file.path.endsWith(".safetensors"));
	if (all.some((file) => file.path === "config.json") && safetensors.length > 0) {
		// Where a repository has both, the single file and the shards are the same weights twice.
		const single = safetensors.filter((file) => file.path === "model.safetensors");
		const shards = safetensors.filter((file) => /^model-\d+-of-\d+\.safetensors$/.test(file.path));
		const weights = single.length > 0 ? single : shards.length > 0 ? shards : safetensors;
		const rest = all.filter((file) => folderFiles.has(file.path));
		return [...rest.filter((file) => single.length === 0 || !file.path.endsWith(".index.json")), ...weights];
	}
	const ggufs = all.filter((file) => file.path.toLowerCase().endsWith(".gguf"));
	if (ggufs.length === 1) return ggufs;
	throw new TokError(
		"lm",
		ggufs.length === 0
			? `${repo}: expected config.json and *.safetensors, or a .gguf file; the repository has neither.`
			: `${repo} holds ${ggufs.length} .gguf files; name one, for example hf:${repo}/${ggufs[0]?.path}`,
	);
}
