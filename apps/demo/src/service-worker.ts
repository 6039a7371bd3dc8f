/**
 * The hosted page without its server: what the build has made is kept on the first visit, onnxruntime's large .wasm once
 * it is used. Models are not its business: `@tok/lm` keeps them.
 *
 * The page itself is asked of the server first, so that a new build is seen; its files have their digests in their
 * names, and are asked of the cache first. A new build's worker waits until no page of the old one is open.
 */
interface Waiting extends Event {
	waitUntil(work: Promise<unknown>): void;
}

interface Asked extends Event {
	readonly request: Request;
	respondWith(answer: Promise<Response>): void;
}

/** What TypeScript's library for pages lacks of a service worker. */
interface Scope {
	readonly registration: { readonly scope: string };
	readonly clients: { claim(): Promise<void> };
	addEventListener(type: "install" | "activate", listener: (event: Waiting) => void): void;
	addEventListener(type: "fetch", listener: (event: Asked) => void): void;
}

const scope = self as unknown as Scope;
const NAME = "tok-page";
/** Of the build, relative to the page; the build writes them in. */
const files: readonly string[] = "%FILES%".split(" ");
const base = scope.registration.scope;
const urls = new Set(files.map((file) => new URL(file, base).href));

scope.addEventListener("install", (event) => event.waitUntil(keep()));
scope.addEventListener("activate", (event) => event.waitUntil(forget().then(() => scope.clients.claim())));
scope.addEventListener("fetch", (event) => {
	const { request } = event;
	if (request.method !== "GET" || request.headers.has("range")) return;
	const { origin, pathname } = new URL(request.url);
	const path = `${origin}${pathname}`;
	if (path.startsWith(`${base}assets/`)) event.respondWith(cacheFirst(request));
	else if (request.mode === "navigate" && path.startsWith(base))
		event.respondWith(serverFirst(request, base));
	else if (urls.has(path)) event.respondWith(serverFirst(request, path));
});

async function keep(): Promise<void> {
	const cache = await caches.open(NAME);
	await cache.addAll([...urls].filter((url) => !url.endsWith(".wasm")));
}

/** Files of builds before this one. */
async function forget(): Promise<void> {
	const cache = await caches.open(NAME);
	for (const { url } of await cache.keys()) if (!urls.has(url)) await cache.delete(url);
}

async function cacheFirst(request: Request): Promise<Response> {
	const cache = await caches.open(NAME);
	const kept = await cache.match(request.url);
	if (kept !== undefined) return kept;
	const response = await fetch(request);
	// A full storage is no reason to do without.
	if (response.ok) void cache.put(request.url, response.clone()).catch(() => {});
	return response;
}

async function serverFirst(request: Request, url: string): Promise<Response> {
	try {
		return await fetch(request);
	} catch (error) {
		const kept = await (await caches.open(NAME)).match(url);
		if (kept === undefined) throw error;
		return kept;
	}
}
