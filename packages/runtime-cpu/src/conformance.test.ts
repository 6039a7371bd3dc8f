/** The suite that every runtime passes: rules of packages/runtime/SPEC.md. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conformance } from "@tok/runtime/conformance";
import { afterAll, describe, test } from "vitest";
import { cpu } from "./index.ts";

describe.each([1, 2])("%i threads", (threads) => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => cpu({ threads })));
});

describe("with a folder for prepared graphs", () => {
	const prepared = mkdtempSync(join(tmpdir(), "tok-test-"));
	afterAll(() => rmSync(prepared, { recursive: true, force: true }));
	test.each(conformance)("$id: $title", ({ run }) => run(() => cpu({ threads: 1, prepared })));
});
