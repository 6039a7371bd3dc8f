/**
 * Brings a model into the browser. One that is kept is used without a question to the network; of one that was cut the
 * rest is fetched.
 */
import { loadPart } from "../../load-part.ts";
import type { ModelFormat } from "../model-format.ts";
import type { ResolveOptions } from "../resolve-model.ts";
import { type FileTask, fetchFile, isSame } from "./fetch-file.ts";
import { exclusively, type KeptFile, type Manifest, type ModelFolder, modelFolder } from "./model-folder.ts";
import { type ModelPlace, modelPlace, type RemoteModelFile } from "./model-place.ts";

export interface FetchedModel {
	readonly place: ModelPlace;
	readonly format: ModelFormat;
	/** Of a GGUF model one. */
	readonly files: readonly File[];
}

/** `retryDelay` as `fetchBytes` has it. */
export type FetchOptions = ResolveOptions & Pick<FileTask, "retryDelay">;

/** Rejects with a TokError, or the signal's reason. What was fetched until then stays for the next call. */
export async function fetchModel(name: string, options: FetchOptions): Promise<FetchedModel> {
	const { env, signal } = options;
	const place = modelPlace(name, env);
	signal?.throwIfAborted();
	return exclusively(place.name, signal, async () => {
		const folder = await modelFolder(place.name);
		const manifest = await folder.readManifest();
		const files =
			(await keptFiles(folder, place, manifest)) ?? (await fetchFiles(folder, place, manifest, options));
		const transformers = files.some((file) => file.name === "config.json");
		return { place, format: transformers ? "transformers" : "gguf", files };
	});
}

/** The files of a model that is there as a whole; undefined of one that is not. */
async function keptFiles(
	folder: ModelFolder,
	place: ModelPlace,
	manifest: Manifest | undefined,
): Promise<File[] | undefined> {
	if (!manifest?.complete) return undefined;
	const files: File[] = [];
	for (const kept of manifest.files) {
		const file = await folder.file(kept.name);
		const wanted = place.kind === "file" ? place.file : kept;
		if (file === undefined || file.size !== kept.size || !isSame(kept, wanted)) return undefined;
		files.push(file);
	}
	return files;
}

async function fetchFiles(
	folder: ModelFolder,
	place: ModelPlace,
	manifest: Manifest | undefined,
	options: FetchOptions,
): Promise<File[]> {
	const wanted = await wantedFiles(place, options);
	const sizes = wanted.map(({ size }) => size);
	const kept = wanted.map(
		(file): KeptFile =>
			manifest?.files.find(({ name, url }) => name === file.name && url === file.url) ?? {
				name: file.name,
				url: file.url,
				size: undefined,
				validator: undefined,
				sha256: undefined,
				complete: false,
			},
	);
	const files: File[] = [];
	for (const [index, file] of wanted.entries()) {
		const before = sum(files.map(({ size }) => size)) ?? 0;
		const fetched = await fetchFile(folder, file, kept[index] as KeptFile, {
			...options,
			headers: place.headers,
			note: async (next) => {
				kept[index] = next;
				await folder.writeManifest({ name: place.name, complete: false, files: kept });
			},
			onBytes: (loaded, size) => {
				sizes[index] = size;
				options.onProgress?.({
					stage: "download",
					label: place.label,
					loaded: before + loaded,
					total: sum(sizes),
				});
			},
		});
		files.push(fetched);
	}
	await folder.writeManifest({ name: place.name, complete: true, files: kept });
	return files;
}

/** Undefined when one of them is. */
function sum(sizes: readonly (number | undefined)[]): number | undefined {
	return sizes.reduce<number | undefined>(
		(total, size) => (total === undefined || size === undefined ? undefined : total + size),
		0,
	);
}

async function wantedFiles(place: ModelPlace, options: FetchOptions): Promise<readonly RemoteModelFile[]> {
	if (place.kind === "file") return [place.file];
	const { listRepository } = await loadPart("lists repositories", () => import("./list-repository.ts"));
	return listRepository(place, options);
}
