/** Whether a model fits, from the size that the server tells before a byte of it has come. */
import { formatBytes } from "./format.ts";

export interface Room {
	/** Of the file. */
	readonly bytes: number;
	/** Bytes that the browser grants the site, and that are taken; undefined when it does not say. */
	readonly quota: number | undefined;
	readonly usage: number | undefined;
}

/** WebAssembly addresses 4 GiB; the rest is for caches and what is computed. */
const MOST_WEIGHTS = 3 * 2 ** 30;
/** Bytes in memory for one of a 4-bit file, whose weights are run in 8 bits; files of wider weights need fewer. */
const GROWTH = 2;

/** Why it does not fit; undefined when it does, as far as can be told. */
export function roomProblem({ bytes, quota, usage = 0 }: Room): string | undefined {
	if (bytes * GROWTH > MOST_WEIGHTS)
		return (
			`The model is a file of ${formatBytes(bytes)} and takes up to ${formatBytes(bytes * GROWTH)} in memory; ` +
			`a page has room for ${formatBytes(MOST_WEIGHTS)}. Choose a smaller one.`
		);
	if (quota !== undefined && bytes > quota - usage)
		return (
			`The model is a file of ${formatBytes(bytes)}; the browser grants this site ${formatBytes(quota)}, of which ` +
			`${formatBytes(usage)} are taken. Remove stored models, or free some of the disk.`
		);
	return undefined;
}
