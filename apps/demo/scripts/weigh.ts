/**
 * What a visitor fetches of the built page, gzipped: before the first view writes its first token, and ever. Neither
 * counts what is not the page's own: onnxruntime's scripts and .wasm, the model, the book, the icon.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export interface PageFile {
	/** Relative to the page. */
	readonly name: string;
	/** Gzipped. */
	readonly bytes: number;
}

export interface PageWeight {
	/** The page, its style sheet, its worker, what these import, and the heavier of the backends. */
	readonly first: readonly PageFile[];
	/** Views, backends and parts that are fetched when they are asked for, and the service worker. */
	readonly later: readonly PageFile[];
	readonly onnxruntime: readonly PageFile[];
}

/** Bytes before the first token: a page should come at once, on a telephone too. */
export const MOST_FIRST = 132_000;
/** Bytes in all. */
export const MOST_EVER = 198_500;

/** Of the build that lies in `folder`. */
export function weighPage(folder: string): PageWeight {
	const names = [
		...["index.html", "service-worker.js"],
		...readdirSync(join(folder, "assets"))
			.filter((name) => /\.(js|css)$/.test(name))
			.map((name) => `assets/${name}`),
	];
	const contents = new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
	const isRuntime = (name: string): boolean => name.startsWith("assets/ort-");
	const named = (name: string, pattern: RegExp): string[] =>
		[...(contents.get(name) as string).matchAll(pattern)]
			.map(([, file]) => `assets/${file}`)
			.filter((file) => contents.has(file));
	const imports = (name: string): string[] => named(name, /(?:from|import)\s*"\.\/([^"]+)"/g);
	/** With all that they import. */
	const closure = (begin: Iterable<string>): Set<string> => {
		const reached = new Set(begin);
		for (const name of reached) for (const file of imports(name)) reached.add(file);
		return reached;
	};
	const page = named("index.html", /(?:src|href)="\.\/assets\/([^"]+)"/g);
	const workers = page.flatMap((name) => named(name, /new URL\(`([^`]+)`/g));
	const importing = names.find((name) => imports(name).some((file) => workers.includes(file)));
	if (importing !== undefined)
		throw new Error(
			`${folder}: expected a worker's entry that no file imports, since WebKit would evaluate it again, got ${importing} importing it.`,
		);
	const first = closure(["index.html", ...page, ...workers]);
	// A backend is what brings onnxruntime; a visitor fetches one.
	const backends = [...first]
		.flatMap((name) => named(name, /import\(`\.\/([^`]+)`\)/g))
		.map((name) => closure([name]))
		.filter((files) => [...files].some(isRuntime))
		.map((files) => [...files].filter((name) => !first.has(name) && !isRuntime(name)));
	const weigh = (names: Iterable<string>): PageFile[] =>
		Array.from(names, (name) => ({
			name,
			bytes: gzipSync(contents.get(name) as string, { level: 9 }).length,
		}));
	const heaviest = backends.reduce<readonly string[]>(
		(most, files) => (sum(weigh(files)) > sum(weigh(most)) ? files : most),
		[],
	);
	if (workers.length === 0 || heaviest.length === 0)
		throw new Error(`${folder}: expected a page with a worker and backends, got ${names.join(", ")}.`);
	for (const name of heaviest) first.add(name);
	return {
		first: weigh(first),
		later: weigh(names.filter((name) => !first.has(name) && !isRuntime(name))),
		onnxruntime: weigh(names.filter(isRuntime)),
	};
}

export function sum(files: readonly PageFile[]): number {
	return files.reduce((total, { bytes }) => total + bytes, 0);
}
