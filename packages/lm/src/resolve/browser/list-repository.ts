/** Asks the hub which files of a repository make a model. */
import { TokError } from "@tok/runtime";
import { chooseFiles, type HubFile } from "../choose-files.ts";
import type { ResolveOptions } from "../resolve-model.ts";
import { fileUrl, type ModelPlace, type RemoteModelFile } from "./model-place.ts";

export async function listRepository(
	{ hub, place, headers }: Extract<ModelPlace, { kind: "repository" }>,
	{ fetch = globalThis.fetch, signal }: ResolveOptions,
): Promise<RemoteModelFile[]> {
	const { repo, revision } = place;
	const url = `${hub}/api/models/${repo}/tree/${encodeURIComponent(revision)}`;
	const entries = await readJson(url, () => fetch(url, { headers, ...(signal && { signal }) }), signal);
	if (!Array.isArray(entries))
		throw new TokError("lm", `${url}: expected a list of files, got something else. Check the name.`);
	const files = entries.flatMap(({ type, path, size, lfs }): HubFile[] =>
		type === "file" ? [{ path, size, sha256: lfs?.oid }] : [],
	);
	return chooseFiles(repo, files).map(({ path, size, sha256 }) => ({
		name: path,
		url: fileUrl(hub, place, path),
		size,
		sha256,
	}));
}

async function readJson(
	url: string,
	ask: () => Promise<Response>,
	signal: AbortSignal | undefined,
): Promise<unknown> {
	try {
		const response = await ask();
		if (response.ok) return await response.json();
		throw new TokError("lm", `${url}: the server answered ${response.status}. Check the name.`);
	} catch (cause) {
		signal?.throwIfAborted();
		if (TokError.isInstance(cause)) throw cause;
		throw new TokError("lm", `${url}: ${(cause as Error).message}. Check the network.`, { cause });
	}
}
