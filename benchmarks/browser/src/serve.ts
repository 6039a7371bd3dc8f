/**
 * Serves folders and files on this machine alone, with the headers under which pages may share memory between threads.
 * Every file is read anew for each request, from the page cache as soon as it was read once.
 */
import { createReadStream, statSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";

/** What lies where: a path that ends with a slash is a folder, any other a file. The longest one that fits counts. */
export type Places = Readonly<Record<string, string>>;

export interface Served extends AsyncDisposable {
	/** http://127.0.0.1:… */
	readonly address: string;
}

const types: Readonly<Record<string, string>> = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript",
	".mjs": "text/javascript",
	".json": "application/json",
	".wasm": "application/wasm",
};

export async function serve(places: Places): Promise<Served> {
	const server = createServer(({ url = "/", method }, response) => {
		const file = fileOf(places, decodeURIComponent(new URL(url, "http://localhost").pathname));
		answer(response, file, method === "HEAD").catch(() => response.destroy());
	});
	await listen(server);
	const { port } = server.address() as AddressInfo;
	return {
		address: `http://127.0.0.1:${port}`,
		async [Symbol.asyncDispose]() {
			server.closeAllConnections();
			await new Promise((closed) => server.close(closed));
		},
	};
}

/** The file that a path names; undefined when nothing lies there. */
export function fileOf(places: Places, path: string): string | undefined {
	const [place] = Object.keys(places)
		.filter((each) => (each.endsWith("/") ? path.startsWith(each) : path === each))
		.sort((a, b) => b.length - a.length);
	if (place === undefined) return undefined;
	const root = places[place] as string;
	if (!place.endsWith("/")) return root;
	const inside = normalize(path.slice(place.length) || "index.html");
	return inside.startsWith("..") ? undefined : join(root, inside);
}

async function answer(response: ServerResponse, file: string | undefined, head: boolean): Promise<void> {
	const found = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
	if (file === undefined || !found?.isFile()) {
		response.writeHead(404).end();
		return;
	}
	response.writeHead(200, {
		"Content-Type": types[extname(file)] ?? "application/octet-stream",
		"Content-Length": found.size,
		"Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Cross-Origin-Resource-Policy": "same-origin",
	});
	if (head) response.end();
	else await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), response);
}

function listen(server: Server): Promise<void> {
	return new Promise((listening, failed) => {
		server.once("error", failed);
		server.listen(0, "127.0.0.1", listening);
	});
}
