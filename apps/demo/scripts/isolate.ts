/**
 * Isolates the page (https://web.dev/articles/coop-coep): threads of WebAssembly share memory, which browsers allow such
 * pages alone. Every response says so: Vite's own option leaves "not modified" ones out, for which WebKit refuses what a
 * worker imports.
 */
import type { ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";

export function isolate(): Plugin {
	return {
		name: "tok-isolate",
		configureServer: ({ middlewares }) => void middlewares.use(addHeaders),
		configurePreviewServer: ({ middlewares }) => void middlewares.use(addHeaders),
	};
}

function addHeaders(_: unknown, response: ServerResponse, next: Connect.NextFunction): void {
	response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
	response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
	next();
}
