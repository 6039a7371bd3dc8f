/** Reads a model's configuration, in the words of transformers' config.json, with errors that name the field. */
import { TokError } from "@tok/runtime";

export type ConfigRecord = Readonly<Record<string, unknown>>;

export class ConfigReader {
	readonly record: ConfigRecord;
	/** What the errors call the configuration: its file. */
	readonly #source: string;

	constructor(record: ConfigRecord, source: string) {
		this.record = record;
		this.#source = source;
	}

	/** An integer ≥ 1. */
	count(field: string): number {
		const value = this.optionalCount(field);
		if (value === undefined) throw this.error(field, "an integer ≥ 1", "nothing");
		return value;
	}

	optionalCount(field: string): number | undefined {
		const value = this.#present(field);
		if (value === undefined) return undefined;
		if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
			throw this.error(field, "an integer ≥ 1", JSON.stringify(value));
		return value;
	}

	number(field: string, fallback?: number): number {
		const value = this.#present(field) ?? fallback;
		if (typeof value !== "number" || !Number.isFinite(value))
			throw this.error(field, "a finite number", value === undefined ? "nothing" : JSON.stringify(value));
		return value;
	}

	flag(field: string): boolean | undefined {
		const value = this.#present(field);
		if (value === undefined) return undefined;
		if (typeof value !== "boolean") throw this.error(field, "true or false", JSON.stringify(value));
		return value;
	}

	/** A list with one item per layer. */
	perLayer<T>(field: string, layers: number, isItem: (item: unknown) => item is T): readonly T[] | undefined {
		const value = this.#present(field);
		if (value === undefined) return undefined;
		if (!Array.isArray(value) || value.length !== layers || !value.every(isItem))
			throw this.error(field, `a list of ${layers} items, one per layer`, JSON.stringify(value).slice(0, 80));
		return value;
	}

	error(field: string, expected: string, got: string): TokError {
		return new TokError(
			"lm",
			`${this.#source}: ${field}: expected ${expected}, got ${got}. The file is damaged or of another kind.`,
		);
	}

	/** The error of another package that was given fields of this configuration, with the file's name. */
	unreadable(cause: unknown): TokError {
		const reason = cause instanceof Error ? cause.message.replace(/^\[tok\/\w+\] /, "") : String(cause);
		return new TokError("lm", `${this.#source}: ${reason}`, { cause });
	}

	/** JSON's null means the same as an absent field. */
	#present(field: string): unknown {
		return this.record[field] ?? undefined;
	}
}
