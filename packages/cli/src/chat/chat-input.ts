/** Where messages come from: a prompt on a terminal, lines from anything else. */
import { createInterface } from "node:readline";
import { addAbortSignal } from "node:stream";
import { isCancel, text } from "@clack/prompts";
import type { Io } from "../io.ts";

/** Yields line after line until the input ends. Ctrl-C at the prompt rejects with an AbortError. */
export async function* chatMessages(io: Io): AsyncGenerator<string> {
	if (io.stdin.isTTY === true && io.stdout.isTTY === true) return yield* promptedMessages(io);
	addAbortSignal(io.signal, io.stdin);
	for await (const line of createInterface({ input: io.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
		if (line.trim() !== "") yield line;
	}
}

async function* promptedMessages({ stdin, signal }: Io): AsyncGenerator<string> {
	const ended = new AbortController();
	// The prompt does not answer Ctrl-D on an empty line; its reader is closed then, and the input pauses.
	const onKey = (_: unknown, key: { readonly ctrl?: boolean; readonly name?: string } | undefined): void => {
		if (key?.ctrl && key.name === "d") setImmediate(() => stdin.isPaused() && ended.abort());
	};
	stdin.on("keypress", onKey);
	try {
		for (;;) {
			const message = await text({
				message: "You",
				placeholder: "/help",
				signal: AbortSignal.any([signal, ended.signal]),
			});
			if (ended.signal.aborted) return;
			if (isCancel(message)) throw new DOMException("Interrupted", "AbortError");
			if (message !== undefined && message.trim() !== "") yield message;
		}
	} finally {
		stdin.off("keypress", onKey);
	}
}
