/// <reference types="vite/client" />
/** goldens/ as a browser test reads them: served by the tests' own server. */
import { blobFolder, blobSource } from "../formats/blob-source.ts";
import type { FileFolder } from "../formats/byte-source.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import { type GoldenLogits, readGoldenLogits } from "./golden-logits.ts";

const urls: Record<string, string> = import.meta.glob(
	"../../../../goldens/{lm-tiny,lm-tiny-extra}/*/*.{json,safetensors}",
	{
		query: "?url",
		import: "default",
		eager: true,
	},
);

/** "lm-tiny/llama", … */
export const goldenFolders: readonly string[] = [
	...new Set(Object.keys(urls).map((path) => path.split("/").slice(-3, -1).join("/"))),
];

async function goldenFile(path: string): Promise<File> {
	const url = urls[`../../../../goldens/${path}`];
	if (url === undefined) throw new RangeError(`goldens: expected ${path} to be there.`);
	return new File([await (await fetch(url)).blob()], path.split("/").at(-1) ?? "");
}

/** Its configuration and weights. */
export async function goldenFolder(folder: string): Promise<FileFolder> {
	return blobFolder(
		await Promise.all(["config.json", "model.safetensors"].map((name) => goldenFile(`${folder}/${name}`))),
	);
}

export async function goldenLogitsOf(folder: string): Promise<GoldenLogits> {
	return readGoldenLogits(readSafetensors(await blobSource(await goldenFile(`${folder}/io.safetensors`))));
}
