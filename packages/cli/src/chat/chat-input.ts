/** Where messages come from: a prompt on a terminal, lines from anything else. */
import { createInterface } from "node:readline";
import { addAbortSignal } from "node:stream";
import { isCancel, text } from "@clack/prompts";
import type { Io } from "../io.ts";

/** Yields line after line until the input ends. Ctrl-C at the prompt rejects with an AbortError. */
export async function* chatMessages(io: Io): AsyncGenerator<string> {
	if (io.stdin.isTTY === true && io.stdout.isTTY === true) {
		for (;;) {
			const message = await text({ message: "You", placeholder: "/help", signal: io.signal });
			if (isCancel(message)) throw new DOMException("Interrupted", "AbortError");
			if (message !== undefined && message.trim() !== "") yield message;
		}
	}
	addAbortSignal(io.signal, io.stdin);
	for await (const line of createInterface({ input: io.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
		if (line.trim() !== "") yield line;
	}
}
