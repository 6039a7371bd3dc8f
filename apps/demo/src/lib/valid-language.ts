/**
 * Chromium in a POSIX locale says "en-US@posix" in `navigator.language`, which is no language tag. uPlot 1.6.32 gives it
 * to Intl.NumberFormat as soon as it is imported, which throws, and the page stays blank. To be imported before uPlot;
 * to be deleted once uPlot takes the language from elsewhere.
 */

/** The tag when it is one, else as much of its beginning as is. */
export function validLanguage(tag: string): string {
	for (const candidate of [tag, tag.split(/[^\w-]/)[0]]) {
		try {
			return Intl.getCanonicalLocales(candidate)[0] ?? "en";
		} catch {
			// Not this one.
		}
	}
	return "en";
}

if (typeof navigator !== "undefined" && validLanguage(navigator.language) !== navigator.language)
	Object.defineProperty(navigator, "language", {
		value: validLanguage(navigator.language),
		configurable: true,
	});
