/** The models that a browser keeps for the site: the implementation of `storedModels` and `removeStoredModel`. */
import type { StoredModel } from "../stored-models.ts";
import { exclusively, removeFolder, storedFolders } from "./model-folder.ts";
import { modelPlace } from "./model-place.ts";

export async function storedModels(): Promise<StoredModel[]> {
	const models: StoredModel[] = [];
	for await (const folder of storedFolders()) {
		const manifest = await folder.readManifest();
		if (manifest === undefined) continue;
		const files = await Promise.all(manifest.files.map(({ name }) => folder.file(name)));
		const bytes = files.reduce((sum, file) => sum + (file?.size ?? 0), 0);
		if (bytes > 0) models.push({ name: manifest.name, bytes, complete: manifest.complete });
	}
	return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export async function removeStoredModel(model: string): Promise<void> {
	const { name } = modelPlace(model);
	await exclusively(name, undefined, () => removeFolder(name));
}
