/**
 * Writes messages in the wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding), as far as onnx.proto
 * needs it: varints, 32-bit floats, and whatever has a length. Fields are said by their numbers; what no field was
 * written for is absent, and what was written is there, even when it is empty. Repeated numbers go one by one, as proto2
 * has them.
 *
 * Messages are read with `@bufbuild/protobuf`; to write them it wants the description of the whole schema at hand, which
 * in a page is 17 kB gzipped.
 */
import { getTextEncoding } from "@bufbuild/protobuf/wire";

const VARINT = 0;
const WITH_LENGTH = 2;
const FIXED_32 = 5;

export class ProtobufWriter {
	#bytes = new Uint8Array(64);
	#length = 0;

	/** An int32, an int64 or an enum. */
	int(field: number, value: number | bigint): void {
		this.#varint(field * 8 + VARINT);
		this.#varint(value);
	}

	float(field: number, value: number): void {
		this.#varint(field * 8 + FIXED_32);
		const at = this.#grow(4);
		new DataView(this.#bytes.buffer).setFloat32(at, value, true);
	}

	text(field: number, value: string): void {
		this.bytes(field, getTextEncoding().encodeUtf8(value));
	}

	bytes(field: number, value: Uint8Array): void {
		this.#varint(field * 8 + WITH_LENGTH);
		this.#varint(value.length);
		const at = this.#grow(value.length);
		this.#bytes.set(value, at);
	}

	message(field: number, write: (message: ProtobufWriter) => void): void {
		const message = new ProtobufWriter();
		write(message);
		this.bytes(field, message.#written());
	}

	/** What was written, in memory of its own. */
	finish(): Uint8Array<ArrayBuffer> {
		return this.#written().slice();
	}

	#written(): Uint8Array<ArrayBuffer> {
		return this.#bytes.subarray(0, this.#length);
	}

	/** Seven bits a byte, the lowest first; negative numbers as 64 bits of two's complement. */
	#varint(value: number | bigint): void {
		let rest = typeof value === "bigint" || value < 0 ? BigInt.asUintN(64, BigInt(value)) : value;
		while (rest >= 128) {
			// Numbers beyond 32 bits are no business of bitwise operators.
			this.#byte(Number(typeof rest === "bigint" ? rest & 127n : rest % 128) | 128);
			rest = typeof rest === "bigint" ? rest >> 7n : Math.floor(rest / 128);
		}
		this.#byte(Number(rest));
	}

	#byte(value: number): void {
		const at = this.#grow(1);
		this.#bytes[at] = value;
	}

	/** Makes room for so many bytes more; returns where they begin. */
	#grow(count: number): number {
		const at = this.#length;
		this.#length += count;
		if (this.#length > this.#bytes.length) {
			const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
			larger.set(this.#bytes);
			this.#bytes = larger;
		}
		return at;
	}
}
