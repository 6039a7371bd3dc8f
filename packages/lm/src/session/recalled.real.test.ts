/** The real model goes back to the passage that answers: S36 of SPEC.md. */
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import { collect } from "../testing/collect.ts";
import { goldenTokens } from "../testing/real-goldens.ts";
import { fetchedModelPath } from "../testing/real-model.ts";

const { path, reason } = await fetchedModelPath();

test.skipIf(path === undefined)(
	`S36: a fact that has left the window is what the answer drew on most${path === undefined ? ` (skipped: ${reason})` : ""}`,
	async () => {
		await using runtime = cpu();
		await using model = await loadModel(path as string, { runtime });
		const session = model.createSession({ policy: parsePolicy("sink:4,memory:1024/8x16,rolling:124") });
		const encode = (text: string): number[] => model.tokenizer.encode(text, { addSpecialTokens: false });
		const book = [...goldenTokens().subarray(0, 600)];
		const fact = encode("\nThe harbour master's secret number is 7419. Remember it: it is 7419.\n");
		await session.append([...book.slice(0, 200), ...fact, ...book.slice(200)]);
		const question = "\nQuestion: What is the harbour master's secret number?\nAnswer: His secret number is";
		const { text } = await collect(
			session.generate({ prompt: encode(question), temperature: 0, maxTokens: 6 }),
		);
		expect(text).toContain("7419");
		const [best, ...others] = session.recalled();
		expect(best?.text).toContain("7419");
		expect(best?.start).toBeGreaterThanOrEqual(200 - 16);
		expect(best?.start).toBeLessThan(200 + fact.length);
		expect(best?.mass).toBeGreaterThan(others[0]?.mass ?? 0);
		expect(others.length).toBeGreaterThan(3);
		// A few layers in the middle do most of it.
		expect(best?.layers[0]?.mass).toBeGreaterThan(3 * (best?.mass ?? 0));
	},
);
