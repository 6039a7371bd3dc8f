/**
 * Measurements kept between runs, one file each, so that a study that was stopped goes on where it was. A file is
 * named after all that it depends on but the code: after a change to that, measure afresh (`--fresh`).
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeMachine, type Machine } from "../support/machine.ts";
import { writeAside, writeJson } from "../support/write-aside.ts";

export interface Measurement {
	readonly values: Float32Array;
	readonly machine: Machine;
	readonly seconds: number;
}

export class Results {
	readonly #folder: string;

	constructor(folder: string, { fresh }: { fresh: boolean }) {
		this.#folder = folder;
		if (fresh) rmSync(folder, { recursive: true, force: true });
	}

	has(name: string): boolean {
		return existsSync(this.#path(name, "json"));
	}

	/** What was measured under this name, measured now if it was not. */
	async get(name: string, measure: () => Promise<Float32Array>): Promise<Measurement> {
		if (!this.has(name)) {
			const machine = describeMachine();
			const begun = performance.now();
			const values = await measure();
			writeAside(
				this.#path(name, "f32"),
				new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
			);
			// Written last: what it stands beside is whole.
			writeJson(this.#path(name, "json"), { machine, seconds: (performance.now() - begun) / 1000 });
		}
		const bytes = readFileSync(this.#path(name, "f32"));
		const values = new Float32Array(
			bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
		);
		return { values, ...JSON.parse(readFileSync(this.#path(name, "json"), "utf8")) };
	}

	#path(name: string, extension: string): string {
		return join(this.#folder, `${name.replaceAll(/[^\w+-]+/g, "_")}.${extension}`);
	}
}
