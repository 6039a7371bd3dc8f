/** Files of a server that is far, full of surprises, or out of order, at /odd/NAME on the page's own origin. */
import { createReadStream, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin } from "vite";

export interface OddFile {
	/** Of the whole file; undefined for a server that does not say. */
	readonly bytes: number | undefined;
	/** What is on the disk; else nothing comes after the headers, or what `content` has. */
	readonly path?: string;
	readonly content?: Uint8Array;
	/** Bytes after which the first answer hangs. */
	readonly hangAfter?: number;
}

export class OddFiles {
	readonly #files = new Map<string, OddFile>();
	/** Of each request: the name, and the range that was asked for. */
	readonly requests: { readonly name: string; readonly range: string | undefined }[] = [];

	/** At /odd/NAME from now on. */
	serve(name: string, file: OddFile): void {
		this.#files.set(name, file);
	}

	get plugin(): Plugin {
		return {
			name: "tok-odd-files",
			configureServer: ({ middlewares }) =>
				void middlewares.use("/odd", (request, response, next) => {
					const name = (request.url ?? "").slice(1);
					const file = this.#files.get(name);
					if (file === undefined) return next();
					this.requests.push({ name, range: request.headers.range });
					answer(file, this.requests.filter((each) => each.name === name).length === 1, request, response);
				}),
		};
	}
}

function answer(
	{ bytes, path, content, hangAfter }: OddFile,
	first: boolean,
	request: IncomingMessage,
	response: ServerResponse,
): void {
	const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
	response.setHeader("Content-Type", "application/octet-stream");
	response.setHeader("ETag", '"odd"');
	if (bytes !== undefined) response.setHeader("Content-Length", bytes - from);
	if (from > 0) response.setHeader("Content-Range", `bytes ${from}-${(bytes ?? 0) - 1}/${bytes}`);
	response.writeHead(from > 0 ? 206 : 200);
	if (path === undefined) {
		if (content === undefined) response.flushHeaders();
		else response.end(content);
		return;
	}
	const hangs = first && hangAfter !== undefined;
	const end = hangs ? hangAfter - 1 : statSync(path).size - 1;
	createReadStream(path, { start: from, end }).pipe(response, { end: !hangs });
}
