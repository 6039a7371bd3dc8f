/**
 * Walks the header of a binary file from its start without reading the rest: a window of the source that moves forward
 * in growing steps. Every length and count is compared with the bytes that remain before anything is allocated for it.
 */
import type { ByteSource } from "./byte-source.ts";
import { damagedFile } from "./damaged-file.ts";

const firstWindow = 64 * 1024;
const largestWindow = 4 * 1024 * 1024;

export class HeaderCursor {
	/** What is being read, for error messages: `metadata key "general.name"`. Settable, as it changes with every field. */
	subject: string;
	readonly #source: ByteSource;
	/** The header must end here. */
	readonly #end: number;
	readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
	#window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	#view: DataView<ArrayBuffer> = new DataView(this.#window.buffer);
	/** Offset of the window's first byte in the source. */
	#start = 0;
	/** The next byte, within the window. */
	#at = 0;
	#windowSize = firstWindow;

	/** Reads at most `limit` bytes of `source`: what claims to lie beyond is damage. */
	constructor(source: ByteSource, limit: number, subject: string) {
		this.#source = source;
		this.#end = Math.min(source.size, limit);
		this.subject = subject;
	}

	/** Bytes from the start of the source. */
	get offset(): number {
		return this.#start + this.#at;
	}

	/** Bytes that the rest of the header can have. */
	get remaining(): number {
		return this.#end - this.offset;
	}

	uint8(): number {
		const at = this.#take(1);
		return this.#view.getUint8(at);
	}

	int8(): number {
		const at = this.#take(1);
		return this.#view.getInt8(at);
	}

	uint16(): number {
		const at = this.#take(2);
		return this.#view.getUint16(at, true);
	}

	int16(): number {
		const at = this.#take(2);
		return this.#view.getInt16(at, true);
	}

	uint32(): number {
		const at = this.#take(4);
		return this.#view.getUint32(at, true);
	}

	int32(): number {
		const at = this.#take(4);
		return this.#view.getInt32(at, true);
	}

	float32(): number {
		const at = this.#take(4);
		return this.#view.getFloat32(at, true);
	}

	float64(): number {
		const at = this.#take(8);
		return this.#view.getFloat64(at, true);
	}

	uint64(): bigint {
		const at = this.#take(8);
		return this.#view.getBigUint64(at, true);
	}

	int64(): bigint {
		const at = this.#take(8);
		return this.#view.getBigInt64(at, true);
	}

	/** A 64-bit offset or extent as a number. Above 2^53 it is inexact, but then larger than any file too. */
	extent(): number {
		const at = this.#take(8);
		return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
	}

	/** A 64-bit count of things that take at least `minimum` bytes each; checked against what remains. */
	count(minimum: number): number {
		const count = this.extent();
		if (count * minimum > this.remaining) {
			throw this.damaged(
				`claims ${count} entries of at least ${minimum} bytes, but only ${this.remaining} bytes remain for the header`,
			);
		}
		return count;
	}

	/** A 64-bit byte length, then so much UTF-8. A byte order mark is kept: it is part of the text. */
	string(): string {
		const length = this.extent();
		if (length > this.remaining) {
			throw this.damaged(
				`claims a text of ${length} bytes, but only ${this.remaining} bytes remain for the header`,
			);
		}
		const at = this.#take(length);
		try {
			return this.#decoder.decode(this.#window.subarray(at, at + length));
		} catch {
			throw this.damaged(`expected UTF-8 text, got other bytes before offset ${this.offset}`);
		}
	}

	/** "SUBJECT PROBLEM", as the error of a damaged file. */
	damaged(problem: string): Error {
		return damagedFile(this.#source.path, `${this.subject} ${problem}`);
	}

	/** Makes `length` bytes available and steps over them; returns where they begin in the window, which it may replace. */
	#take(length: number): number {
		if (this.#at + length > this.#window.length) this.#refill(length);
		const at = this.#at;
		this.#at += length;
		return at;
	}

	#refill(length: number): void {
		const { offset, remaining } = this;
		if (length > remaining) {
			throw this.damaged(
				`needs ${length} bytes at offset ${offset}, but only ${remaining} remain for the header`,
			);
		}
		this.#window = this.#source.read(offset, Math.min(remaining, Math.max(length, this.#windowSize)));
		this.#view = new DataView(this.#window.buffer);
		this.#start = offset;
		this.#at = 0;
		this.#windowSize = Math.min(2 * this.#windowSize, largestWindow);
	}
}
