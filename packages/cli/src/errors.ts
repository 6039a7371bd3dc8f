/** The command's own errors, and what a failure looks like on the terminal. */
import { TokError } from "@tok/lm";

/** Throws `[tok/cli] …`. */
export function fail(message: string, options?: ErrorOptions): never {
	throw new TokError("cli", message, options);
}

/** What to print for a failure: a clear error's message; for anything else what to do to learn more. */
export function describeFailure(error: unknown, debug: boolean): string {
	if (debug && error instanceof Error) return error.stack ?? error.message;
	if (TokError.isInstance(error)) return (error as Error).message;
	const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
	return `[tok/cli] unexpected ${text}. Set TOK_DEBUG=1 to see where it comes from.`;
}

/** Whether a failure is only the answer to Ctrl-C. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
	return (
		(error instanceof Error && error.name === "AbortError") || (signal.aborted && error === signal.reason)
	);
}
