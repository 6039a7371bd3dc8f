/**
 * Writes messages field by field, under the schema's numbers: `@bufbuild/protobuf` by itself wants the description of the
 * whole schema at hand for that, which in a page is 17 kB gzipped. What no field was written for is absent, and what was
 * written is there, even when it is empty. Repeated numbers go one by one, as proto2 has them.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export class ProtobufWriter {
	readonly #writer = new BinaryWriter();

	/** An int32, an int64 or an enum. */
	int(field: number, value: number | bigint): void {
		this.#writer.tag(field, WireType.Varint).int64(value);
	}

	float(field: number, value: number): void {
		this.#writer.tag(field, WireType.Bit32).float(value);
	}

	text(field: number, value: string): void {
		this.#writer.tag(field, WireType.LengthDelimited).string(value);
	}

	bytes(field: number, value: Uint8Array): void {
		this.#writer.tag(field, WireType.LengthDelimited).bytes(value);
	}

	message(field: number, write: (message: this) => void): void {
		this.#writer.tag(field, WireType.LengthDelimited).fork();
		write(this);
		this.#writer.join();
	}

	/** What was written. */
	finish(): Uint8Array<ArrayBuffer> {
		return this.#writer.finish();
	}
}
