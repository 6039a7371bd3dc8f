/**
 * Models that lie on disk: what a path holds, and a folder of models searched for a name.
 */
import type { Stats } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { TokError } from "@tok/runtime";
import type { KnownModel } from "../known-models.ts";
import { formatOf, type ModelFormat } from "../model-format.ts";
import { hasChecksum } from "./checksum.ts";

export interface LocalModel {
	/** The .gguf file, or the folder that holds config.json and *.safetensors. */
	readonly path: string;
	readonly format: ModelFormat;
}

/** What lies at a path. Undefined when nothing does; throws a TokError when it is not a model. */
export async function inspectPath(path: string): Promise<LocalModel | undefined> {
	const stats = await statIfExists(path);
	if (stats === undefined) return undefined;
	if (stats.isDirectory()) return inspectFolder(path);
	if (!stats.isFile())
		throw new TokError("lm", `model: expected a file or a folder, got something else at ${path}.`);
	if (path.toLowerCase().endsWith(".gguf") || (await startsWithGgufMagic(path)))
		return { path, format: "gguf" };
	throw new TokError(
		"lm",
		`model: expected a .gguf file or a folder with config.json and *.safetensors, got the file ${path}. ` +
			(path.endsWith(".safetensors") ? "Give the folder that holds it." : "Check the path."),
	);
}

async function inspectFolder(path: string): Promise<LocalModel> {
	const format = formatOf(path, await readdir(path));
	return format.kind === "gguf"
		? { path: join(path, format.file), format: "gguf" }
		: { path, format: "transformers" };
}

/** A file or folder called `word`, or the file `word`.gguf. */
export async function findWord(folder: string, word: string): Promise<LocalModel | undefined> {
	return (await inspectPath(join(folder, word))) ?? (await inspectPath(join(folder, `${word}.gguf`)));
}

/**
 * A known model in a folder: an entry of its name, or its pinned file at most two folders down.
 * A file of the pinned name with other bytes is an error: it was put there to be used, and is damaged.
 */
export async function findKnown(
	folder: string,
	model: KnownModel,
	cache: string,
	signal?: AbortSignal,
): Promise<LocalModel | undefined> {
	const path = await findFile(folder, model.file, 2);
	if (path === undefined) return findWord(folder, model.name);
	const { size } = await stat(path);
	if (size !== model.size) {
		throw new TokError(
			"lm",
			`${path}: expected ${model.size} bytes, got ${size}. Delete the file or replace it.`,
		);
	}
	if (!(await hasChecksum(path, model.sha256, cache, signal))) {
		throw new TokError(
			"lm",
			`${path}: expected sha256 ${model.sha256}, got other bytes. Delete the file or replace it.`,
		);
	}
	return { path, format: "gguf" };
}

async function findFile(folder: string, name: string, depth: number): Promise<string | undefined> {
	const path = join(folder, name);
	if ((await statIfExists(path))?.isFile()) return path;
	if (depth === 0) return undefined;
	for (const entry of await readdir(folder).catch(() => [])) {
		if (!(await statIfExists(join(folder, entry)))?.isDirectory()) continue;
		const found = await findFile(join(folder, entry), name, depth - 1);
		if (found !== undefined) return found;
	}
	return undefined;
}

export async function statIfExists(path: string): Promise<Stats | undefined> {
	try {
		return await stat(path);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return undefined;
		throw new TokError("lm", `${basename(path)}: cannot be read (${code}): ${path}. Check its permissions.`, {
			cause: error,
		});
	}
}

async function startsWithGgufMagic(path: string): Promise<boolean> {
	const file = await open(path);
	try {
		const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
		return buffer.toString("latin1") === "GGUF";
	} finally {
		await file.close();
	}
}
