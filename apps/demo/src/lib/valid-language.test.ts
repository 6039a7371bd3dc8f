/** Languages that are no tags. */
import { expect, test } from "vitest";
import { validLanguage } from "./valid-language.ts";

test.each([
	["en-US@posix", "en-US"],
	["de-CH", "de-CH"],
	["C", "en"],
	["", "en"],
])("of the language %j what is a tag remains: %s", (language, tag) => {
	expect(validLanguage(language)).toBe(tag);
});
