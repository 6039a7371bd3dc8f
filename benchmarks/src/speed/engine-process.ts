/**
 * An engine in a process of its own, so that one side's memory, threads and garbage collection are not the other's.
 * `engine-main.ts` is the other end of the wire.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineName, EngineOptions, TogetherOptions } from "./engine.ts";

export interface Memory {
	/** Bytes resident now. */
	readonly resident: number;
	/** Most bytes ever resident. */
	readonly peak: number;
}

/** What the child is asked, and what it answers. */
export interface Requests {
	description: { request: null; answer: string };
	prefill: { request: { ids: number[]; window: number }; answer: number };
	decode: { request: { ids: number[]; window: number; steps: number }; answer: number[] };
	decodeTogether: { request: { ids: number[] } & TogetherOptions; answer: number };
	memory: { request: null; answer: Memory };
}

export type Request = {
	[Kind in keyof Requests]: { kind: Kind } & { body: Requests[Kind]["request"] };
}[keyof Requests];
export type Reply = { answer: unknown } | { error: string };

const main = fileURLToPath(new URL("engine-main.ts", import.meta.url));

export class EngineProcess {
	readonly name: EngineName;
	readonly #child: ChildProcess;

	constructor(name: EngineName, options: EngineOptions) {
		this.name = name;
		this.#child = fork(main, [name, JSON.stringify(options)], {
			stdio: ["ignore", "inherit", "inherit", "ipc"],
		});
	}

	/** Answers come in order; the caller awaits each before the next. Rejects when the process fails or ends. */
	ask<Kind extends keyof Requests>(
		kind: Kind,
		body: Requests[Kind]["request"],
	): Promise<Requests[Kind]["answer"]> {
		return new Promise((resolve, reject) => {
			const child = this.#child;
			const ended = (code: number | null): void => reject(new Error(`${this.name} ended with code ${code}.`));
			child.once("exit", ended);
			child.once("message", (reply: Reply) => {
				child.off("exit", ended);
				if ("error" in reply) reject(new Error(`${this.name}: ${reply.error}`));
				else resolve(reply.answer as Requests[Kind]["answer"]);
			});
			if (child.exitCode !== null) ended(child.exitCode);
			else child.send({ kind, body });
		});
	}

	close(): Promise<void> {
		return new Promise((resolve) => {
			if (this.#child.exitCode !== null || this.#child.signalCode !== null) return resolve();
			this.#child.once("exit", () => resolve());
			this.#child.kill("SIGKILL");
		});
	}
}
