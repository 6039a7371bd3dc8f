/** The suite that every runtime passes: rules of packages/runtime/SPEC.md. */
import { conformance } from "@tok/runtime/conformance";
import { describe, test } from "vitest";
import { cpu } from "./index.ts";

describe.each([1, 2])("%i threads", (threads) => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => cpu({ threads })));
});
