/**
 * Serves the known models at /models/NAME.gguf, from where `tok` finds them, so that a page needs no network for a
 * model that was pulled. Answers ranges, with which a download that was cut goes on.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { knownModels, resolveModel } from "@tok/lm";
import type { Connect, Plugin } from "vite";

export function serveModels(): Plugin {
	return {
		name: "tok-models",
		configureServer: ({ middlewares }) => void middlewares.use(answer),
		configurePreviewServer: ({ middlewares }) => void middlewares.use(answer),
	};
}

const path = /^\/models\/([\w.-]+)\.gguf$/;

function answer(request: IncomingMessage, response: ServerResponse, next: Connect.NextFunction): void {
	const name = path.exec(new URL(request.url ?? "/", "http://localhost").pathname)?.[1];
	if (!knownModels.some((model) => model.name === name)) next();
	else
		send(name as string, request, response).catch((error: Error) => {
			if (response.headersSent) response.destroy();
			else response.writeHead(502, { "Content-Type": "text/plain; charset=utf-8" }).end(error.message);
		});
}

async function send(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const { path: file } = await resolveModel(name);
	const { size, mtimeMs } = await stat(file);
	const etag = `"${size}-${Math.floor(mtimeMs)}"`;
	const changed = request.headers["if-range"] !== undefined && request.headers["if-range"] !== etag;
	const range = changed ? undefined : rangeOf(request.headers.range, size);
	response.setHeader("Accept-Ranges", "bytes");
	response.setHeader("ETag", etag);
	response.setHeader("Content-Type", "application/octet-stream");
	if (range === "unsatisfiable")
		return void response.writeHead(416, { "Content-Range": `bytes */${size}` }).end();
	const { start, end } = range ?? { start: 0, end: size - 1 };
	if (range !== undefined) response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
	response.writeHead(range === undefined ? 200 : 206, { "Content-Length": end - start + 1 });
	if (request.method === "HEAD") return void response.end();
	const stream = createReadStream(file, { start, end });
	response.on("close", () => stream.destroy());
	stream.on("error", () => response.destroy());
	stream.pipe(response);
}

/** The one range that a header asks for; undefined for none, or several, which get the whole file. */
function rangeOf(
	header: string | undefined,
	size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
	const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
	if (first === "" && last === "") return undefined;
	const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
	const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
	return start > end ? "unsatisfiable" : { start, end };
}
