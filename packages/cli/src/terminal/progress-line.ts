/**
 * One line on standard error that says what is under way: downloads with a bar, reading and compiling with a word.
 * On a terminal it is redrawn in place and taken away at the end; elsewhere each stage is one plain line.
 */
import type { Progress } from "@tok/lm";
import type { Output } from "../io.ts";
import { formatBytes } from "./format.ts";
import { textWidth } from "./width.ts";

const barWidth = 24;
/** Milliseconds between two drawings. */
const interval = 80;

export class ProgressLine {
	readonly #output: Output;
	readonly #live: boolean;
	#label = "";
	#drawnAt = Number.NEGATIVE_INFINITY;
	#started = 0;
	#startBytes = 0;

	constructor(output: Output, env: Readonly<Record<string, string | undefined>>) {
		this.#output = output;
		this.#live = output.isTTY === true && env.TERM !== "dumb";
	}

	/** For `onProgress` of resolveModel and loadModel. */
	readonly show = (progress: Progress): void => {
		const { stage, label, loaded, total } = progress;
		const now = performance.now();
		const first = `${stage} ${label}` !== this.#label;
		if (first) {
			this.#label = `${stage} ${label}`;
			this.#started = now;
			this.#startBytes = loaded;
			if (!this.#live && stage === "download") {
				this.#output.write(`Downloading ${label}${total === undefined ? "" : ` (${formatBytes(total)})`}\n`);
			}
		}
		if (!this.#live || (!first && now - this.#drawnAt < interval && loaded !== total)) return;
		this.#drawnAt = now;
		this.#draw(stage === "download" ? this.#download(progress, now) : `${verbs[stage]} ${label} …`);
	};

	/** Any other short message, in place. */
	message(text: string): void {
		if (this.#live) this.#draw(text);
	}

	/** One of many messages of a kind: drawn a few times a second. */
	tick(text: string): void {
		const now = performance.now();
		if (!this.#live || now - this.#drawnAt < interval) return;
		this.#drawnAt = now;
		this.#draw(text);
	}

	clear(): void {
		if (this.#live) this.#output.write("\r\x1b[K");
	}

	#download({ label, loaded, total }: Progress, now: number): string {
		const seconds = (now - this.#started) / 1000;
		const speed = seconds > 0.5 ? ` · ${formatBytes((loaded - this.#startBytes) / seconds)}/s` : "";
		if (total === undefined || total === 0) return `Downloading ${label} ${formatBytes(loaded)}${speed}`;
		const filled = Math.round((loaded / total) * barWidth);
		const bar = "█".repeat(filled) + "░".repeat(barWidth - filled);
		return `${bar} ${formatBytes(loaded)} of ${formatBytes(total)}${speed} · ${label}`;
	}

	#draw(text: string): void {
		const limit = (this.#output.columns ?? 80) - 1;
		const line = textWidth(text) > limit ? `${[...text].slice(0, Math.max(0, limit - 1)).join("")}…` : text;
		this.#output.write(`\r\x1b[K${line}`);
	}
}

const verbs = { read: "Reading", compile: "Compiling", download: "Downloading" } as const;
