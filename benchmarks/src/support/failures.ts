/** A mistake of the caller's, told by the library, is one line; anything else keeps its stack. */
import { TokError } from "@tok/lm";

export function reportFailures(): void {
	process.on("uncaughtException", (error) => {
		console.error(TokError.isInstance(error) ? error.message : error);
		process.exit(1);
	});
}
