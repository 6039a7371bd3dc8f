/** One line on standard error that is written over while work goes on; nothing when that is not a terminal. */

const live = process.stderr.isTTY === true;

export function showProgress(text: string): void {
	if (live) process.stderr.write(`\r\x1b[K${text}`);
}

export function clearProgress(): void {
	if (live) process.stderr.write("\r\x1b[K");
}

/** For what should stay on the screen, or in a log. */
export function note(text: string): void {
	clearProgress();
	process.stderr.write(`${text}\n`);
}
