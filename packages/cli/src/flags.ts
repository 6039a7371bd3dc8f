/**
 * Strict reading of a command's flags. citty defines and explains them; it also lets unknown flags and missing
 * values pass, so arguments are checked here first, and values are turned into numbers and choices with errors
 * that name the flag.
 */
import { parseArgs } from "node:util";
import type { ArgsDef } from "citty";
import { fail } from "./errors.ts";

export class Flags {
	readonly #values: ReadonlyMap<string, readonly string[]>;

	/** Throws a TokError for an unknown flag, a missing or superfluous value, and an argument too many. */
	constructor(argv: readonly string[], definitions: ArgsDef, repeatable: readonly string[] = []) {
		this.#values = readFlags(argv, definitions, new Set(repeatable));
	}

	has(name: string): boolean {
		return this.#values.has(name);
	}

	text(name: string): string | undefined {
		return this.#values.get(name)?.[0];
	}

	/** Every value of a flag that may be given more than once. */
	texts(name: string): readonly string[] {
		return this.#values.get(name) ?? [];
	}

	choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
		const text = this.text(name);
		if (text === undefined) return undefined;
		const choice = choices.find((one) => one === text);
		return choice ?? fail(`--${name}: expected ${choices.join(" or ")}, got "${text}".`);
	}

	integer(name: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number | undefined {
		const text = this.text(name);
		if (text === undefined) return undefined;
		const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
		if (value >= least && value <= most) return value;
		const range = most === Number.MAX_SAFE_INTEGER ? `≥ ${least}` : `from ${least} to ${most}`;
		return fail(`--${name}: expected an integer ${range}, got "${text}".`);
	}

	/** Integers with commas between them. */
	integers(name: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number[] | undefined {
		const text = this.text(name);
		if (text === undefined) return undefined;
		const values = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
		if (values.every((value) => value >= least && value <= most)) return values;
		const range = most === Number.MAX_SAFE_INTEGER ? `≥ ${least}` : `from ${least} to ${most}`;
		return fail(`--${name}: expected integers ${range} with commas between them, got "${text}".`);
	}

	/** A finite number in [least, most]; `above` excludes `least` itself. */
	number(
		name: string,
		least: number,
		most: number,
		{ above = false }: { readonly above?: boolean } = {},
	): number | undefined {
		const text = this.text(name);
		if (text === undefined) return undefined;
		const value = text.trim() === "" ? Number.NaN : Number(text);
		if ((above ? value > least : value >= least) && value <= most && Number.isFinite(value)) return value;
		const limits = `${above ? ">" : "≥"} ${least}${most === Number.POSITIVE_INFINITY ? "" : ` and ≤ ${most}`}`;
		return fail(`--${name}: expected a number ${limits}, got "${text}".`);
	}
}

function readFlags(
	argv: readonly string[],
	definitions: ArgsDef,
	repeatable: ReadonlySet<string>,
): Map<string, string[]> {
	const positionals = Object.keys(definitions).filter((name) => definitions[name]?.type === "positional");
	const names = Object.keys(definitions).filter((name) => !positionals.includes(name));
	const isBoolean = (name: string): boolean => definitions[name]?.type === "boolean";
	const options = Object.fromEntries(
		names.map((name) => [name, { type: isBoolean(name) ? ("boolean" as const) : ("string" as const) }]),
	);
	const { tokens } = parseArgs({
		args: [...argv],
		options,
		strict: false,
		allowPositionals: true,
		tokens: true,
	});
	const values = new Map<string, string[]>();
	for (const token of tokens) {
		if (token.kind === "positional") {
			const name = positionals.find((one) => !values.has(one));
			if (name === undefined) fail(`unexpected argument "${token.value}". Put texts with spaces in quotes.`);
			values.set(name, [token.value]);
		} else if (token.kind === "option") {
			const { name, rawName, value, inlineValue } = token;
			if (!names.includes(name)) fail(`unknown flag ${rawName}. ${suggest(name, names)}`);
			if (isBoolean(name) && inlineValue) fail(`--${name} takes no value, got "${value}".`);
			// "--prompt --json" is a forgotten value; a text that is a flag's name can be given as --prompt=--json.
			const swallowed = !inlineValue && value?.startsWith("--") && names.includes(value.slice(2));
			if (!isBoolean(name) && (value === undefined || swallowed)) fail(`--${name} needs a value.`);
			const earlier = values.get(name) ?? [];
			if (earlier.length > 0 && !repeatable.has(name)) fail(`--${name} is given twice.`);
			values.set(name, [...earlier, value ?? "true"]);
		}
	}
	for (const [name, definition] of Object.entries(definitions)) {
		if (definition.required === true && !values.has(name)) {
			fail(`${definition.type === "positional" ? name.toUpperCase() : `--${name}`} is missing.`);
		}
	}
	return values;
}

/** The known flag that starts alike, or the hint to look at all of them. */
function suggest(name: string, names: readonly string[]): string {
	const alike = names.find((known) => known.startsWith(name.slice(0, 3)) && name.length >= 3);
	return alike === undefined ? "See --help." : `Did you mean --${alike}? See --help.`;
}
