import { expect, test } from "vitest";
import * as cli from "./index.ts";

test("the exports are these", () => {
	expect(Object.keys(cli).sort()).toEqual(["main", "run"]);
});
