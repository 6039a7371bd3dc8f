/**
 * Parts of this package that not everyone needs are modules of their own, imported when they are: in a page they are
 * files of their own, which may not arrive.
 */
import { TokError } from "@tok/runtime";

/** @param what What the part does: "reads safetensors". */
export async function loadPart<Part>(what: string, load: () => Promise<Part>): Promise<Part> {
	try {
		return await load();
	} catch (cause) {
		throw new TokError(
			"lm",
			`expected the part of tok that ${what}, which could not be loaded: ${(cause as Error).message}. Reload the ` +
				"page once there is a network.",
			{ cause },
		);
	}
}
