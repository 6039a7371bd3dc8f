/** Where a browser fetches a model from, by its name. */
import { TokError } from "@tok/runtime";
import type { Environment } from "../../platform/platform.ts";
import { type HubPlace, listKnown, parseModelName } from "../model-name.ts";

/** One file to fetch. */
export interface RemoteModelFile {
	/** Name in the model's folder. */
	readonly name: string;
	readonly url: string;
	/** Bytes; undefined when only the server knows. */
	readonly size: number | undefined;
	/** Lower-case hexadecimal; undefined when nobody tells. */
	readonly sha256: string | undefined;
}

export type ModelPlace = {
	/** One for each place: a known name, hf:…, or a whole URL. */
	readonly name: string;
	/** For people, while it is fetched. */
	readonly label: string;
	/** What a person can open: the file, or the repository. */
	readonly url: string;
	/** For every request. */
	readonly headers: Readonly<Record<string, string>>;
} & (
	| { readonly kind: "file"; readonly file: RemoteModelFile }
	| { readonly kind: "repository"; readonly hub: string; readonly place: HubPlace }
);

/** The only file of a GGUF model is called so, whatever its URL. */
const ggufName = "model.gguf";

/** Throws a TokError for a name that can be none. */
export function modelPlace(name: string, env: Environment = {}): ModelPlace {
	const parsed = parseModelName(name);
	const hub = hubUrl(env);
	const headers: Record<string, string> = env.HF_TOKEN ? { Authorization: `Bearer ${env.HF_TOKEN}` } : {};
	switch (parsed.kind) {
		case "known": {
			const { size, sha256, hub: at } = parsed.model;
			const url = fileUrl(hub, { repo: at.repo, revision: at.revision, file: undefined }, at.path);
			return { kind: "file", name, label: name, url, headers, file: { name: ggufName, url, size, sha256 } };
		}
		case "hub": {
			const { place } = parsed;
			const { repo, revision, file } = place;
			if (file === undefined) {
				const url = `${hub}/${repo}/tree/${encodeURIComponent(revision)}`;
				return { kind: "repository", name, label: repo, url, headers, hub, place };
			}
			return oneFile(name, `${repo}/${file}`, fileUrl(hub, place, file), headers);
		}
		case "path": {
			const url = absoluteUrl(name);
			return oneFile(url, decodeURIComponent(new URL(url).pathname.split("/").at(-1) || url), url, {});
		}
		case "word":
			throw new TokError(
				"lm",
				`model: expected a known name (${listKnown()}), hf:owner/repo/file, or a URL with a slash or .gguf in it, got ` +
					`${JSON.stringify(name)}.`,
			);
	}
}

/** Where the hub has a file. */
export function fileUrl(hub: string, { repo, revision }: HubPlace, file: string): string {
	const path = file.split("/").map(encodeURIComponent).join("/");
	return `${hub}/${repo}/resolve/${encodeURIComponent(revision)}/${path}`;
}

function oneFile(name: string, label: string, url: string, headers: ModelPlace["headers"]): ModelPlace {
	return {
		kind: "file",
		name,
		label,
		url,
		headers,
		file: { name: ggufName, url, size: undefined, sha256: undefined },
	};
}

function hubUrl(env: Environment): string {
	return (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
}

/** Relative URLs are the page's; in a worker, as `fetch` has it, those of the worker's script. */
function absoluteUrl(name: string): string {
	const { document, location } = globalThis as { document?: Document; location?: Location };
	// A worker that was made of a Blob has a URL to which nothing is relative.
	const script = location?.protocol === "blob:" ? location.origin : location?.href;
	const base = document?.baseURI ?? script;
	if (!URL.canParse(name, base))
		throw new TokError("lm", `model: expected a URL, got ${JSON.stringify(name)}. Give an absolute one.`);
	const url = new URL(name, base);
	url.hash = "";
	return url.href;
}
