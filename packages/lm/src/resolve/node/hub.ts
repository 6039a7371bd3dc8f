/**
 * The Hugging Face hub: asks it what a file is (`@huggingface/hub`), fetches it in ranges (download.ts).
 * `HF_TOKEN` opens private and gated repositories, `HF_ENDPOINT` names a mirror, `HF_HUB_OFFLINE=1` keeps away.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileDownloadInfo, HubApiError, listFiles } from "@huggingface/hub";
import { TokError } from "@tok/runtime";
import type { Progress } from "../../model.ts";
import type { Environment } from "../../platform/platform.ts";
import { chooseFiles, type HubFile } from "../choose-files.ts";
import { reasonOf } from "../fetch-bytes.ts";
import type { HubPlace } from "../model-name.ts";
import { writeAside } from "./checksum.ts";
import { download } from "./download.ts";
import { statIfExists } from "./local-model.ts";

export interface HubOptions {
	readonly env: Environment;
	readonly fetch: typeof fetch;
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: Progress) => void;
}

/** Milliseconds for the hub's first answer. Without a network there is none, and another route may be waiting. */
const answerTimeout = 5_000;

/** Fetches one file to `target`. `sha256` overrides what the hub says of it. Throws a TokError. */
export async function fetchHubFile(
	place: HubPlace & { readonly file: string },
	target: string,
	options: HubOptions,
	sha256?: string,
): Promise<void> {
	const label = `${place.repo}/${place.file}`;
	await fetchOne(place, target, options, sha256, (loaded, total) =>
		options.onProgress?.({ stage: "download", label, loaded, total }),
	);
}

/** Name of the file that lists what a fetched folder holds; written last, so its presence says that all is there. */
const manifestName = "tok-manifest.json";

/** Fetches a folder in transformers' layout, or the one GGUF file that the repository holds. Throws a TokError. */
export async function fetchHubFolder(place: HubPlace, folder: string, options: HubOptions): Promise<void> {
	const wanted = await ask(place, options, () => listedFiles(place, options));
	const total = wanted.reduce((sum, file) => sum + file.size, 0);
	let before = 0;
	for (const file of wanted) {
		const target = join(folder, file.path);
		const label = `${place.repo}/${file.path}`;
		if ((await statIfExists(target))?.size !== file.size) {
			await fetchOne({ ...place, file: file.path }, target, options, undefined, (loaded) =>
				options.onProgress?.({ stage: "download", label, loaded: before + loaded, total }),
			);
		}
		before += file.size;
	}
	await writeAside(join(folder, manifestName), `${JSON.stringify(wanted, null, "\t")}\n`);
}

/** What `fetchHubFolder` brought: the folder, or its one GGUF file. Undefined when it never came to its end. */
export async function fetchedFolder(folder: string): Promise<string | undefined> {
	const text = await readFile(join(folder, manifestName), "utf8").catch(() => undefined);
	if (text === undefined) return undefined;
	try {
		const files = JSON.parse(text) as HubFile[];
		for (const file of files) {
			if ((await statIfExists(join(folder, file.path)))?.size !== file.size) return undefined;
		}
		const gguf = files.find((file) => file.path.toLowerCase().endsWith(".gguf"));
		return gguf === undefined ? folder : join(folder, gguf.path);
	} catch {
		// A damaged list is as good as none: the folder is fetched again, file by file where sizes differ.
		return undefined;
	}
}

async function listedFiles({ repo, revision }: HubPlace, options: HubOptions): Promise<HubFile[]> {
	const all: HubFile[] = [];
	for await (const { type, path, size } of listFiles({ repo, revision, ...access(options) }))
		if (type === "file") all.push({ path, size });
	return chooseFiles(repo, all);
}

async function fetchOne(
	place: HubPlace & { readonly file: string },
	target: string,
	options: HubOptions,
	sha256: string | undefined,
	onBytes: (loaded: number, total: number) => void,
): Promise<void> {
	const { repo, revision, file } = place;
	const path = file.split("/").map(encodeURIComponent).join("/");
	const info = await ask(place, options, () =>
		fileDownloadInfo({ repo, revision, path, ...access(options) }),
	);
	if (info === null) {
		throw new TokError(
			"lm",
			`${endpoint(options.env)}: ${repo} has no file ${file} at revision ${revision}.`,
		);
	}
	// Large files carry their SHA-256 as entity tag.
	const tag = info.etag.replace(/^W\//, "").replaceAll('"', "");
	const expected = sha256 ?? (/^[0-9a-f]{64}$/.test(tag) ? tag : undefined);
	// The token is for the hub alone, not for the store that it may point to.
	const sameOrigin = new URL(info.url).origin === new URL(endpoint(options.env)).origin;
	await download({
		url: info.url,
		headers: options.env.HF_TOKEN && sameOrigin ? { Authorization: `Bearer ${options.env.HF_TOKEN}` } : {},
		target,
		key: (expected ?? createHash("sha256").update(info.etag).digest("hex")).slice(0, 16),
		size: info.size,
		sha256: expected,
		fetch: options.fetch,
		...(options.signal && { signal: options.signal }),
		onBytes: (loaded) => onBytes(loaded, info.size),
	});
}

/** Arguments that every call of the hub's client shares. */
function access(options: HubOptions): { hubUrl: string; fetch: typeof fetch; accessToken?: string } {
	return {
		hubUrl: endpoint(options.env),
		fetch: (input, init) =>
			options.fetch(input, {
				...init,
				signal: AbortSignal.any([
					AbortSignal.timeout(answerTimeout),
					...(options.signal ? [options.signal] : []),
				]),
			}),
		...(options.env.HF_TOKEN && { accessToken: options.env.HF_TOKEN }),
	};
}

/** Base URL of the hub, without a slash at its end. */
function endpoint(env: Environment): string {
	const url = (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
	if (!URL.canParse(url))
		throw new TokError("lm", `HF_ENDPOINT: expected a URL, got ${JSON.stringify(env.HF_ENDPOINT)}.`);
	return url;
}

/** Runs a question to the hub and says in words why it failed. */
async function ask<T>(place: HubPlace, options: HubOptions, question: () => Promise<T>): Promise<T> {
	const hub = endpoint(options.env);
	if (options.env.HF_HUB_OFFLINE && options.env.HF_HUB_OFFLINE !== "0") {
		throw new TokError("lm", `${hub}: HF_HUB_OFFLINE is set. Unset it to fetch from the hub.`);
	}
	try {
		return await question();
	} catch (error) {
		options.signal?.throwIfAborted();
		if (TokError.isInstance(error)) throw error;
		throw new TokError("lm", `${hub}: ${explain(error, place, options.env)}`, { cause: error });
	}
}

function explain(error: unknown, place: HubPlace, env: Environment): string {
	if (error instanceof HubApiError) {
		const { statusCode } = error;
		if (statusCode === 401 || statusCode === 403) {
			return env.HF_TOKEN
				? `${place.repo} is refused to this HF_TOKEN (${statusCode}). Ask for access on the hub's page of the model.`
				: `${place.repo} does not exist, or is private or gated (${statusCode}). Set HF_TOKEN to a token that may read it.`;
		}
		if (statusCode === 404)
			return `there is no ${place.repo} at revision ${place.revision} (404). Check the name.`;
		return `the hub answered ${statusCode} for ${place.repo}.`;
	}
	if (error instanceof Error && error.name === "TimeoutError") {
		return `no answer within ${answerTimeout / 1000} s. Check the network, or set HF_ENDPOINT to a mirror.`;
	}
	return `cannot be reached (${reasonOf(error)}). Check the network, or set HF_ENDPOINT to a mirror.`;
}
