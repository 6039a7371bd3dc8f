/** Both halves of the platform, as far as Node runs the browser's. */
import { describe, expect, test } from "vitest";
import { platform as browser } from "./browser.ts";
import { platform as node } from "./node.ts";

test("they have the same parts", () => {
	expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
});

test("SHA-256 is the same, of texts, of bytes and of parts of buffers", () => {
	const bytes = new Uint8Array(100_000).map((_, i) => (i * 2_654_435_761) >>> 13);
	for (const parts of [[], [""], ["grün 🐋\0", bytes.subarray(3, 70)], [bytes, bytes.subarray(0, 64), "x"]]) {
		const [ours, theirs] = [node, browser].map(({ createSha256 }) => {
			const hash = createSha256();
			for (const part of parts) hash.update(part);
			return Uint8Array.from(hash.digest());
		});
		expect(ours).toHaveLength(32);
		expect(theirs).toEqual(ours);
	}
});

describe("a browser has no paths", () => {
	test("to read from, to write to, or to keep models in", async () => {
		expect(() => browser.openFile("a.session")).toThrow(
			"[tok/lm] a.session: expected a Blob or a File, got a path, which a browser does not have. Fetch it,",
		);
		await expect(browser.writeFile("a.session", [], undefined)).rejects.toThrow(
			"[tok/lm] a.session: expected a WritableStream, got a path, which a browser does not have.",
		);
		expect(() => browser.cacheFolder(undefined)).toThrow(
			"[tok/lm] cacheFolder: expected Node, got a browser",
		);
		expect(browser.codeStamp()).toBeUndefined();
	});
});

test("Node keeps no models for a site", async () => {
	await expect(node.storedModels()).rejects.toThrow("[tok/lm] stored models: expected a browser, got Node");
	await expect(node.removeStoredModel("x")).rejects.toThrow("List or delete them in cacheFolder()");
});
