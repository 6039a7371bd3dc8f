/**
 * The folder in which fetched models are kept: `TOK_HOME`, or the place the platform has for caches
 * (XDG Base Directory Specification; Apple's File System Programming Guide; Windows known folders).
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Environment } from "../../platform/platform.ts";

/** Absolute path; the folder may not exist yet. */
export function cacheFolder(
	env: Environment = process.env,
	platform: NodeJS.Platform = process.platform,
	home: string = homedir(),
): string {
	// An empty variable counts as unset, as the XDG specification asks.
	if (env.TOK_HOME) return resolve(env.TOK_HOME);
	if (platform === "win32") return join(env.LOCALAPPDATA || join(home, "AppData", "Local"), "tok");
	if (platform === "darwin") return join(home, "Library", "Caches", "tok");
	return join(env.XDG_CACHE_HOME || join(home, ".cache"), "tok");
}
