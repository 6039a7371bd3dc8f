/**
 * A local HTTP server that answers like the Hugging Face hub, for tests: file metadata, ranges, listings, and the
 * ways in which a hub can disappoint.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeHub {
	readonly url: string;
	/** Files by "owner/repo/path". */
	readonly files: Map<string, Uint8Array>;
	/** Every request: "GET /owner/repo/resolve/main/file bytes=0-0". */
	readonly requests: string[];
	/** Bytes after which the next answers break off; one entry per answer. */
	readonly cuts: number[];
	/** Answer everything with this status. */
	status: number | undefined;
	/** Send the whole file whatever range is asked for (metadata requests excepted). */
	ignoreRange: boolean;
	/** Milliseconds between pieces of 64 KiB. */
	pieceDelay: number;
	/** The token that requests must carry. */
	token: string | undefined;
	close(): Promise<void>;
}

export async function startFakeHub(): Promise<FakeHub> {
	const server = createServer((request, response) => void answer(hub, request, response));
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	const hub: FakeHub = {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		files: new Map(),
		requests: [],
		cuts: [],
		status: undefined,
		ignoreRange: false,
		pieceDelay: 0,
		token: undefined,
		close: () =>
			new Promise((done) => {
				server.closeAllConnections();
				server.close(() => done());
			}),
	};
	return hub;
}

async function answer(hub: FakeHub, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const url = new URL(request.url ?? "/", hub.url);
	const { range } = request.headers;
	hub.requests.push([request.method, url.pathname, range].filter(Boolean).join(" "));
	const refuse = (status: number, headers: Record<string, string> = {}): void => {
		response.writeHead(status, { "content-type": "application/json", ...headers }).end(`{"error":"no"}`);
	};
	if (hub.status !== undefined) return refuse(hub.status);
	if (hub.token !== undefined && request.headers.authorization !== `Bearer ${hub.token}`) return refuse(401);
	const listing = /^\/api\/models\/([^/]+\/[^/]+)\/tree\//.exec(url.pathname);
	if (listing !== null) {
		const prefix = `${listing[1]}/`;
		const entries = [...hub.files].filter(([path]) => path.startsWith(prefix));
		response.writeHead(200, { "content-type": "application/json" });
		response.end(
			JSON.stringify(
				entries.map(([path, bytes]) => ({
					type: "file",
					path: path.slice(prefix.length),
					size: bytes.length,
					// The hub tells the digest of what it keeps as a large file.
					...(path.endsWith(".safetensors") && { lfs: { oid: digestOf(bytes), size: bytes.length } }),
				})),
			),
		);
		return;
	}
	const match = /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(url.pathname);
	const bytes =
		match === null ? undefined : hub.files.get(`${match[1]}/${decodeURIComponent(match[2] ?? "")}`);
	if (bytes === undefined) return refuse(404, { "x-error-code": "EntryNotFound" });
	// RFC 9110 §13.1.5: the part only of the file that the asker has the beginning of.
	const { "if-range": condition } = request.headers;
	const changed = condition !== undefined && condition !== tagOf(bytes);
	await sendBytes(hub, bytes, changed ? undefined : range, response);
}

function tagOf(bytes: Uint8Array): string {
	return `"${digestOf(bytes)}"`;
}

function digestOf(bytes: Uint8Array): string {
	return createHash("sha256").update(bytes).digest("hex");
}

async function sendBytes(
	hub: FakeHub,
	bytes: Uint8Array,
	range: string | undefined,
	response: ServerResponse,
): Promise<void> {
	const metadata = range === "bytes=0-0";
	const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(metadata || !hub.ignoreRange ? (range ?? "") : "") ?? [];
	const start = Number(from ?? 0);
	const end = to ? Number(to) + 1 : bytes.length;
	if (start >= bytes.length) {
		response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
		return;
	}
	response.writeHead(from === undefined ? 200 : 206, {
		"content-length": end - start,
		etag: tagOf(bytes),
		...(from !== undefined && { "content-range": `bytes ${from}-${end - 1}/${bytes.length}` }),
	});
	const cut = metadata ? undefined : hub.cuts.shift();
	const body = bytes.subarray(start, cut === undefined ? end : Math.min(end, start + cut));
	for (let at = 0; at < body.length; at += 65_536) {
		if (hub.pieceDelay > 0 && !metadata) await new Promise((done) => setTimeout(done, hub.pieceDelay));
		await new Promise((done) => response.write(body.subarray(at, at + 65_536), done));
	}
	if (cut === undefined) response.end();
	else response.destroy();
}
