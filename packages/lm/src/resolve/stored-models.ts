/** Models that a browser keeps for a site, so that an app can show and delete them. */
import { platform } from "#platform";

export interface StoredModel {
	/** Loads it: the known name, hf:owner/repo/file, or the whole URL. */
	readonly name: string;
	/** That are stored, of a download under way or cut those that have come. */
	readonly bytes: number;
	/** False for a download under way or cut, which the next one continues. */
	readonly complete: boolean;
}

/** The models in the browser's storage for this site; none where there is no such storage. Throws in Node. */
export function storedModels(): Promise<StoredModel[]> {
	return platform.storedModels();
}

/**
 * Deletes a model from the browser's storage for this site, also one whose download was cut; waits for a download that
 * is under way. Deleting what is not there is fine. Throws in Node.
 */
export function removeStoredModel(name: string): Promise<void> {
	return platform.removeStoredModel(name);
}
