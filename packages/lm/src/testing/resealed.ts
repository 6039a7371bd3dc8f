/** A sealed file with another header under a checksum that is right, for tests of what is believed then. */
import { createHash } from "node:crypto";

const START = 12; // magic, header length
const DIGEST_BYTES = 32;

export function sealedHeader<Header>(whole: Buffer): Header {
	return JSON.parse(whole.toString("utf8", START, START + whole.readUInt32LE(8)));
}

export function resealed(whole: Buffer, change: Readonly<Record<string, unknown>>): Buffer {
	const json = Buffer.from(JSON.stringify({ ...sealedHeader<object>(whole), ...change }));
	const length = Buffer.alloc(4);
	length.writeUInt32LE(json.length);
	const rest = whole.subarray(START + whole.readUInt32LE(8), -DIGEST_BYTES);
	const body = Buffer.concat([whole.subarray(0, 8), length, json, rest]);
	return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}
