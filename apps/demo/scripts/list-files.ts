/** Tells the service worker which files the build has made. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import type { Plugin } from "vite";

const WORKER = "service-worker.js";

export function listFiles(): Plugin {
	return {
		name: "tok-list-files",
		apply: "build",
		// The last to be told: everything is on the disk by then.
		writeBundle: {
			order: "post",
			sequential: true,
			handler({ dir = "" }) {
				const made = readdirSync(dir, { recursive: true, withFileTypes: true })
					.filter((entry) => entry.isFile())
					.map(({ parentPath, name }) =>
						join(parentPath, name)
							.slice(dir.length + 1)
							.replaceAll(sep, "/"),
					);
				const needed = made.filter((file) => file !== WORKER && !file.endsWith(".md"));
				// A server answers with it where the folder is asked for; some do not for its name.
				const files = needed.map((file) => (file === "index.html" ? "./" : file)).sort();
				const path = join(dir, WORKER);
				const code = readFileSync(path, "utf8");
				if (!code.includes("%FILES%"))
					this.error(`${WORKER}: expected a place for the list of files, found none.`);
				writeFileSync(path, code.replace("%FILES%", files.join(" ")));
			},
		},
	};
}
