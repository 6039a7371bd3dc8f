/** The real model goes back to the passage that answers, its own stream's or an archive's: S36 and S37 of SPEC.md. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { goldenTokens } from "../testing/real-goldens.ts";
import { fetchedModelPath } from "../testing/real-model.ts";

const { path, reason } = await fetchedModelPath();
const book = [...goldenTokens().subarray(0, 600)];

test.skipIf(path === undefined)(
	`S36 S37: a fact outside the window is what the answer drew on most${path === undefined ? ` (skipped: ${reason})` : ""}`,
	async () => {
		await using runtime = cpu();
		await using model = await loadModel(path as string, { runtime });
		const policy = parsePolicy("sink:4,memory:1024/8x16,rolling:124");
		const encode = (text: string): number[] => model.tokenizer.encode(text, { addSpecialTokens: false });
		const fact = encode("\nThe harbour master's secret number is 7419. Remember it: it is 7419.\n");
		const question = encode(
			"\nQuestion: What is the harbour master's secret number?\nAnswer: His secret number is",
		);
		const ask = async (session: Session) => {
			const { text } = await collect(session.generate({ prompt: question, temperature: 0, maxTokens: 6 }));
			expect(text).toContain("7419");
			const [best, ...others] = session.recalled();
			expect(best?.text).toContain("7419");
			expect(best?.mass).toBeGreaterThan(others[0]?.mass ?? 0);
			expect(others.length).toBeGreaterThan(3);
			// A few layers in the middle do most of it.
			expect(best?.layers[0]?.mass).toBeGreaterThan(2 * (best?.mass ?? 0));
			return best;
		};

		const session = model.createSession({ policy });
		await session.append([...book.slice(0, 200), ...fact, ...book.slice(200)]);
		const archive = join(tmpdir(), `tok-remembering-${process.pid}.tokmem`);
		await session.saveArchive(archive);
		const own = await ask(session);
		expect(own).toMatchObject({ source: "stream" });
		expect(own?.start).toBeGreaterThanOrEqual(200 - 16);
		expect(own?.start).toBeLessThan(200 + fact.length);

		const asked = await model.createSessionWithArchive(archive, { policy });
		expect(await ask(asked)).toMatchObject({ source: "archive" });
		expect(asked.stats.length).toBeLessThan(question.length + 8);
		rmSync(archive);
	},
);
