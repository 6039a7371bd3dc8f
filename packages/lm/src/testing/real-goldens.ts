/** goldens/smollm2: what the real model is held to, and how far a run is from it. */
import { readFileSync } from "node:fs";
import { type Policy, type Positions, parsePolicy } from "@tok/kv-cache";

export interface LikelihoodGolden {
	/** Without its ending. */
	readonly file: string;
	readonly policy: Policy;
	readonly positions: Positions;
	/** Index of the first token whose likelihood the file holds; those of the ones after it follow. */
	readonly from: number;
}

export const likelihoodGoldens: readonly LikelihoodGolden[] = [
	golden("policy_4_252", "sink:4,rolling:252"),
	golden("policy_4_252_orig", "sink:4,rolling:252", "original"),
	golden("policy_1_255", "sink:1,rolling:255"),
	golden("policy_2_254", "sink:2,rolling:254"),
	golden("policy_8_248", "sink:8,rolling:248"),
	golden("policy_4_1020", "sink:4,rolling:1020"),
	golden("policy_0_256", "rolling:256"),
	golden("policy_0_1024", "rolling:1024"),
	golden("dense", "dense"),
	golden("memory_8x16_sink4_rolling256", "sink:4,memory:1280/8x16,rolling:256"),
	golden("recompute256_4096_4352", "recompute:256", "in-cache", 4097),
];

function golden(file: string, policy: string, positions: Positions = "in-cache", from = 1): LikelihoodGolden {
	return { file, policy: parsePolicy(policy), positions, from };
}

/** The first 6,144 tokens of the text. */
export function goldenTokens(): Int32Array {
	return new Int32Array(bytesOf("tokens.i32"));
}

/** −ln p in nats of the tokens from `golden.from` on. */
export function goldenLikelihoods({ file }: LikelihoodGolden): Float32Array {
	return new Float32Array(bytesOf(`${file}.nll.f32`));
}

/** [64, vocabulary]: after each of the first 64 tokens. */
export function goldenLogits(): Float32Array {
	return new Float32Array(bytesOf("logits64.f32"));
}

export interface GreedyGolden {
	readonly messages: readonly { readonly role: string; readonly content: string }[];
	readonly rendered: string;
	readonly promptIds: readonly number[];
	readonly ids: readonly number[];
	readonly text: string;
}

export function goldenConversations(): readonly GreedyGolden[] {
	return JSON.parse(new TextDecoder().decode(bytesOf("greedy.json")));
}

export interface Distance {
	/** Largest absolute difference. */
	readonly worst: number;
	/** Mean absolute difference. */
	readonly mean: number;
	/** Share of the differences that are at most 1e-2. */
	readonly near: number;
	/** e^mean of ours over e^mean of theirs. */
	readonly perplexityRatio: number;
}

/** How far `got` is from the beginning of `want`. */
export function distance(got: Float32Array, want: Float32Array): Distance {
	let worst = 0;
	let absolute = 0;
	let signed = 0;
	let near = 0;
	for (const [i, value] of got.entries()) {
		const difference = value - (want[i] ?? Number.NaN);
		// NaN stays NaN.
		worst = Math.max(worst, Math.abs(difference));
		absolute += Math.abs(difference);
		signed += difference;
		if (Math.abs(difference) <= 1e-2) near++;
	}
	return {
		worst,
		mean: absolute / got.length,
		near: near / got.length,
		perplexityRatio: Math.exp(signed / got.length),
	};
}

function bytesOf(name: string): ArrayBuffer {
	const bytes = readFileSync(new URL(`../../../../goldens/smollm2/${name}`, import.meta.url));
	return new Uint8Array(bytes).buffer;
}
