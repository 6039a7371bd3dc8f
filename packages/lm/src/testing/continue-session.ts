/** A process of its own that restores a session and goes on with it, for `session-file.test.ts`. */
import { cpu } from "@tok/runtime-cpu";
import { loadModel } from "../load-model.ts";
import type { GenerateOptions } from "../model.ts";
import { collect } from "./collect.ts";

const { folder, path, options, chunk } = JSON.parse(process.argv[2] ?? "{}") as {
	folder: string;
	path: string;
	options: GenerateOptions;
	chunk: number;
};

await using runtime = cpu({ threads: 1 });
await using model = await loadModel(folder, { runtime });
const session = await model.restoreSession(path, { chunk });
const { yielded } = await collect(session.generate(options));
process.stdout.write(JSON.stringify({ yielded, stats: session.stats }));
