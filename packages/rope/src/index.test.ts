/** What the package exports, and the marker by which its errors are known. */
import { expect, test } from "vitest";
import * as rope from "./index.ts";

test("the exports are these", () => {
	expect(Object.keys(rope).sort()).toMatchInlineSnapshot(`
		[
		  "RopeError",
		  "ropeAngles",
		  "ropeFrequencies",
		  "ropeOptionsFromConfig",
		  "rotate",
		  "rotateRows",
		  "unrotate",
		]
	`);
});

test("its error carries tok's marker and is told from other values", () => {
	const error = new rope.RopeError("pairing: expected …");
	expect(error.message).toBe("[tok/rope] pairing: expected …");
	expect(error).toMatchObject({ name: "RopeError", source: "rope", [Symbol.for("tok.error")]: true });
	expect(rope.RopeError.isInstance(error)).toBe(true);
	const others = [null, undefined, "rope", new Error("rope"), { source: "rope" }, /rope/];
	for (const value of others) expect(rope.RopeError.isInstance(value)).toBe(false);
});
