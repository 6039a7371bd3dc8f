/** Digests as text. */
import { platform } from "#platform";

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 of a text's UTF-8, in lower-case hexadecimal. */
export function sha256OfText(text: string): string {
	return toHex(platform.createSha256().update(text).digest());
}
