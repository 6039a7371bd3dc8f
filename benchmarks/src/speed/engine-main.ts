/** The process behind `EngineProcess`: opens the engine that its arguments name, then answers one request at a time. */
import { type EngineName, type EngineOptions, openEngine } from "./engine.ts";
import type { Reply, Request } from "./engine-process.ts";

const [name, options] = process.argv.slice(2) as [EngineName, string];
const opening = openEngine(name, JSON.parse(options) as EngineOptions);
// A failure is told with the first answer.
opening.catch(() => {});

process.on("message", async (request: Request) => {
	const reply: Reply = await answer(request).then(
		(answer) => ({ answer }),
		(error: Error) => ({ error: error.message }),
	);
	process.send?.(reply);
});
process.on("disconnect", () => process.exit());
// Ctrl-C reaches the whole group; the parent decides when this ends.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});

async function answer(request: Request): Promise<unknown> {
	const engine = await opening;
	if (request.kind === "description") return engine.description;
	if (request.kind === "prefill") return engine.prefill(request.body.ids, request.body.window);
	if (request.kind === "decode")
		return engine.decode(request.body.ids, request.body.window, request.body.steps);
	if (request.kind === "decodeTogether") return engine.decodeTogether(request.body.ids, request.body);
	return { resident: process.memoryUsage.rss(), peak: process.resourceUsage().maxRSS * 1024 };
}
