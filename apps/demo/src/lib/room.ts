/** Whether a model fits, from the size that the server tells before a byte of it has come. */
import { formatBytes } from "./format.ts";

export interface Room {
	/** Of the whole file. */
	readonly bytes: number;
	/** Of them, those that are not kept yet. */
	readonly missing: number;
	/** Bytes in memory for one of the file: `growthOf`. */
	readonly growth: number;
	/** Bytes that the browser grants the site, and that are taken; undefined when it does not say. */
	readonly quota: number | undefined;
	readonly usage: number | undefined;
}

/** WebAssembly addresses 4 GiB; the rest is for caches and what is computed. */
const MOST_WEIGHTS = 3 * 2 ** 30;
/** Bits of a weight in blocks as graphs have it: 8, and a float32 scale for every 16. */
const BLOCK_BITS = 10;

/**
 * How much larger weights are in memory than in a file of this name, as far as a name tells: "Q4_K_M" has about four and
 * a half bits a weight, any other is taken for half precision, which runs in float32.
 *
 * @param inBlocks whether the backend keeps quantised weights in blocks; else they are float32.
 */
export function growthOf(name: string, inBlocks: boolean): number {
	const [, digit] = /(?:^|[^a-z0-9])I?Q(\d)(?![0-9])/i.exec(name) ?? [];
	if (digit === undefined) return 2;
	return (inBlocks ? BLOCK_BITS : 32) / (Number(digit) + 0.5);
}

/** Why it does not fit; undefined when it does, as far as can be told. */
export function roomProblem({ bytes, missing, growth, quota, usage = 0 }: Room): string | undefined {
	if (bytes * growth > MOST_WEIGHTS)
		return (
			`The model is a file of ${formatBytes(bytes)} and takes about ${formatBytes(bytes * growth)} in memory; ` +
			`a page has room for ${formatBytes(MOST_WEIGHTS)}. Choose a smaller one.`
		);
	if (quota !== undefined && missing > quota - usage)
		return (
			`Of the model ${formatBytes(missing)} are to be fetched; the browser grants this site ${formatBytes(quota)}, of ` +
			`which ${formatBytes(usage)} are taken. Remove stored models, or free some of the disk.`
		);
	return undefined;
}
