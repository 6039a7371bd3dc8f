/** A saved cache, for a runtime that lacks formats of its segments and keeps them in float32. */
import { type KvFormat, type KvShape, kvParts } from "@tok/runtime";
import { halfAt } from "../formats/dequantize/half.ts";

/** The shape, with every format that is not among these as float32. */
export function decodedShape(shape: KvShape, formats: readonly KvFormat[]): KvShape {
	const { kinds, ...rest } = shape;
	if (kinds === undefined) return shape;
	const decoded = kinds.map((kind) => {
		if (kind?.format === undefined || formats.includes(kind.format)) return kind;
		return kind.parts && { parts: kind.parts };
	});
	return { ...rest, ...(decoded.some((kind) => kind !== undefined) && { kinds: decoded }) };
}

/** A buffer of the file, and what becomes of it. */
interface StoredBuffer {
	readonly bytes: number;
	/** Becomes float32. */
	readonly half?: true;
	/** For codes: their scales follow as the next buffer. Slots innermost in keys, dimensions in values. */
	readonly coded?: { readonly heads: number; readonly slots: number; readonly isKey: boolean };
}

/**
 * The bytes of a store (`KvStore.read`) of `shape` as those of one of `decodedShape(shape, formats)`. What may stay in its format
 * goes through as it is.
 */
export async function* decodeCache(
	shape: KvShape,
	formats: readonly KvFormat[],
	bytes: Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
	const file = new Pieces(bytes);
	for (const { bytes: count, half, coded } of buffersOf(shape, formats)) {
		if (coded === undefined) {
			const bytes = file.take(count);
			yield half === undefined ? bytes : widened(bytes);
			continue;
		}
		const codes = file.take(count);
		const scales = file.take(4 * coded.heads * coded.slots);
		// Cut: the store says how many bytes it lacks.
		if (scales.length < 4 * coded.heads * coded.slots) return;
		yield decoded(new Int8Array(codes.buffer), new Float32Array(scales.buffer), shape.headDim, coded);
	}
	// Too long: the store says so.
	yield* file.rest();
}

/** In the order of the file, without the scales. */
function* buffersOf(shape: KvShape, formats: readonly KvFormat[]): Generator<StoredBuffer> {
	const { layers, headDim, slots, kinds } = shape;
	for (let layer = 0; layer < layers; layer++)
		for (const [segment, count] of slots.entries()) {
			const part = kvParts(shape, segment).find((each) => each.layer === layer);
			if (part === undefined) continue;
			const heads = part.heads.length;
			const numbers = heads * count * headDim;
			const format = kinds?.[segment]?.format ?? "float32";
			for (const isKey of [true, false])
				if (format === "float32") yield { bytes: 4 * numbers };
				else if (format === "float16")
					yield { bytes: 2 * numbers, ...(!formats.includes(format) && { half: true }) };
				else if (formats.includes(format)) {
					yield { bytes: numbers };
					yield { bytes: 4 * heads * count };
				} else yield { bytes: numbers, coded: { heads, slots: count, isKey } };
		}
}

/** Float16 as float32. Half a number at the end, of a file that was cut, is left out. */
function widened(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
	const numbers = Float32Array.from({ length: Math.floor(bytes.length / 2) }, (_, i) => halfAt(bytes, 2 * i));
	return new Uint8Array(numbers.buffer);
}

function decoded(
	codes: Int8Array,
	scales: Float32Array,
	headDim: number,
	{ heads, slots, isKey }: NonNullable<StoredBuffer["coded"]>,
): Uint8Array {
	const numbers = new Float32Array(codes.length);
	for (let head = 0, i = 0; head < heads; head++)
		for (let j = 0; j < headDim * slots; j++, i++) {
			const slot = isKey ? j % slots : Math.floor(j / headDim);
			numbers[i] = (codes[i] as number) * (scales[head * slots + slot] as number);
		}
	return new Uint8Array(numbers.buffer);
}

/** Pieces of any length, taken in other lengths. */
class Pieces {
	readonly #pieces: Iterator<Uint8Array>;
	#rest: Uint8Array = new Uint8Array(0);

	constructor(pieces: Iterable<Uint8Array>) {
		this.#pieces = pieces[Symbol.iterator]();
	}

	*rest(): Generator<Uint8Array> {
		yield this.#rest;
		for (let next = this.#pieces.next(); !next.done; next = this.#pieces.next()) yield next.value;
	}

	/** The next bytes, in a buffer of their own: fewer when there are no more, which a store's `load` finds. */
	take(count: number): Uint8Array<ArrayBuffer> {
		const taken = new Uint8Array(count);
		for (let filled = 0; filled < count; ) {
			if (this.#rest.length === 0) {
				const next = this.#pieces.next();
				if (next.done) return taken.slice(0, filled);
				this.#rest = next.value;
			}
			const part = this.#rest.subarray(0, count - filled);
			taken.set(part, filled);
			filled += part.length;
			this.#rest = this.#rest.subarray(part.length);
		}
		return taken;
	}
}
