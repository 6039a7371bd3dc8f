/** Where fetched models are kept, in Node. */
import { platform } from "#platform";
import type { Environment } from "../platform/platform.ts";

/**
 * The folder in which fetched models are kept: `TOK_HOME`, or the place the platform has for caches. An absolute path;
 * the folder may not exist yet. Throws in a browser, which has no folders: see `storedModels`.
 *
 * @param env Defaults to process.env.
 */
export function cacheFolder(env?: Environment): string {
	return platform.cacheFolder(env);
}
