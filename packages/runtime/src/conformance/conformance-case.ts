/**
 * What a conformance case is, and the checks that cases share. Free of any test framework: a case passes when its
 * promise resolves, and fails with an error that says what was expected and what came.
 */
import { TokError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";

/** Makes the runtime under test. Each case makes its own and disposes it. */
export type CreateRuntime = () => Runtime | Promise<Runtime>;

export interface ConformanceCase {
	/** The rule of SPEC.md that the case holds a runtime to, and a letter: "R4a". */
	readonly id: string;
	readonly title: string;
	/** Rejects when the runtime breaks the rule. */
	run(createRuntime: CreateRuntime): Promise<void>;
}

/** A case whose body gets an open runtime, and may make more. */
export function conformanceCase(
	id: string,
	title: string,
	body: (runtime: Runtime, createRuntime: CreateRuntime) => Promise<void>,
): ConformanceCase {
	return {
		id,
		title,
		async run(createRuntime) {
			const runtime = await createRuntime();
			try {
				await body(runtime, createRuntime);
			} finally {
				await runtime.dispose();
			}
		},
	};
}

type Numbers = ArrayLike<number | bigint>;

/** Equal kinds of array, lengths and elements; −0 equals 0. */
export function expectEqual(what: string, got: Numbers, expected: Numbers): void {
	const [gotText, expectedText] = [show(got), show(expected)];
	if (gotText !== expectedText) throw new Error(`${what}: expected ${expectedText}, got ${gotText}`);
}

/** |got − expected| ≤ tolerance, element by element. */
export function expectClose(
	what: string,
	got: ArrayLike<number>,
	expected: ArrayLike<number>,
	tolerance: number,
): void {
	if (got.length !== expected.length)
		throw new Error(`${what}: expected ${expected.length} elements, got ${got.length}`);
	for (let i = 0; i < got.length; i++) {
		const error = Math.abs((got[i] as number) - (expected[i] as number));
		// Negated, so that NaN fails.
		if (!(error <= tolerance))
			throw new Error(`${what}: expected ${expected[i]} ± ${tolerance} at index ${i}, got ${got[i]}`);
	}
}

export function expectThat(claim: string, holds: boolean): void {
	if (!holds) throw new Error(`expected that ${claim}`);
}

/** The action throws or rejects with a TokError of a runtime whose text mentions every one of `mentions`. */
export async function expectTokError(
	what: string,
	action: () => unknown,
	...mentions: readonly (string | number)[]
): Promise<void> {
	let error: unknown;
	try {
		await action();
	} catch (thrown) {
		error = thrown;
	}
	if (error === undefined) throw new Error(`${what}: expected a TokError, got no error`);
	if (!TokError.isInstance(error))
		throw new Error(`${what}: expected a TokError, got ${String(error)}`, { cause: error });
	const missing = ["[tok/runtime-", ...mentions].filter((text) => !error.message.includes(String(text)));
	if (missing.length > 0)
		throw new Error(
			`${what}: expected an error that mentions ${missing.join(" and ")}, got "${error.message}"`,
		);
}

function show(numbers: Numbers): string {
	const kind = Object.prototype.toString.call(numbers).slice(8, -1);
	return `${kind} of ${numbers.length} [${Array.from(numbers, (n) => n.toString()).join(", ")}]`;
}
