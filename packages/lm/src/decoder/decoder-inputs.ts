/** Names by which a decoder's graph and the steps that feed it meet; see `kvNames` for the cache's. */

export const decoderInputs = {
	/** int64 [batch, tokens] */
	ids: "ids",
	/** int64 [batch, tokens]: the row of each token in `cos` and `sin`. */
	angleRows: "angle_rows",
	/** int64 [logitRows]: the tokens, counted through the batch, whose logits are wanted. */
	logitRows: "logit_rows",
	/** int64 [attended]: the tokens whose attention is told, by a graph that tells of it. */
	attentionRows: "attention_rows",
	/**
	 * float32 [batch · tokens, rotaryDim / 2]. `frame` counts the segments; the last one's is that of the fresh keys
	 * too.
	 */
	cos: (rope: number, frame: number): string => `cos.${rope}.${frame}`,
	sin: (rope: number, frame: number): string => `sin.${rope}.${frame}`,
	/**
	 * float32 [batch, 1, 1, tokens, entries of the part]. The parts are the segments but an archive, then the fresh
	 * keys.
	 */
	mask: (window: number | undefined, part: number): string => `mask.${window ?? "full"}.${part}`,
	/** int32 [made, voters]; see `RecallChoices` for this and what follows, `KeptChoices` for what is kept. */
	voters: "recall.voters",
	/** float32 [batch, 1, made, blocks] */
	blockMask: "recall.mask",
	/** int32 [blocks] */
	blockNumbers: "recall.block_numbers",
	/** int32 [batch, heads that remember, kept, blocks of a choice]; where choices hold for several tokens. */
	keptBlocks: "recall.kept",
	/** float32 of the same shape */
	keptMask: "recall.kept_mask",
	/** float32 [batch, 1, choices, kept + 1 + made] */
	pick: "recall.pick",
	/** int32 [batch, heads, 1, headDim, 1], for layers that remember in so many heads */
	keyRows: (heads: number): string => `recall.keys.${heads}`,
	/** int32 [batch, heads, 1, 1] */
	valueRows: (heads: number): string => `recall.values.${heads}`,
	/** float32 [rows, tokens]: 1 where a row sums the attention of a token, else 0; see `FallenAttention`. */
	countedTokens: "mass.tokens",
} as const;

/** float32 [logitRows, vocabulary] */
export const LOGITS = "logits";
/**
 * float32 [batch, layers that recall nothing · kvHeads, group, attended, columns]: softmax weights on the slots of each
 * segment but an archive, on the run's tokens, and on the learned sink where there is one.
 */
export const ATTENTION = "attention";
/** The same of the layers that recall, in which the entries recalled come before the learned sink. */
export const ATTENTION_RECALLING = "attention.recalling";
/** int32 [batch, heads that remember, choices, blocks]: what each choice took, by its place in the buffers. */
export const RECALLED_BLOCKS = "recall.blocks";
/** float32 of the same shape: softmax weight on each block, summed over the choice's queries and the group's heads. */
export const RECALLED_MASS = "recall.mass_on_blocks";
/** float32 [batch, layers · kvHeads, rows, slots of the window]: softmax weights, summed over tokens and the group's heads. */
export const MASS_CACHED = "mass.cached";
/** float32 [batch, layers · kvHeads, rows, tokens] */
export const MASS_FRESH = "mass.fresh";
