/** Tells builds of this code apart. Node alone can. */
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Undefined where files do not lie on a disk: in an application's bundle. */
export function codeStamp(): string | undefined {
	try {
		const { size, mtimeMs } = statSync(fileURLToPath(import.meta.url));
		// One folder up from `src` and from `dist` alike.
		const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
		const { version } = JSON.parse(manifest) as { readonly version: string };
		return `${version} ${size} ${mtimeMs}`;
	} catch {
		return undefined;
	}
}
