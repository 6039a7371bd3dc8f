/** The package's own version, from its package.json, which lies one folder up from `src` and from `dist` alike. */
import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
	version: string;
};

export const version: string = manifest.version;
