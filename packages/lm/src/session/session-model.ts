/** What a session needs of the model that made it. */
import type { DecoderEngine } from "../decoder/decoder-engine.ts";
import type { Session } from "../model.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export interface SessionModel {
	readonly engine: DecoderEngine;
	readonly tokenizer: Tokenizer;
	/** Sessions that are open; disposed with the model. */
	readonly sessions: Set<Session>;
	/** Tells one model's caches from another's; computed once. */
	fingerprint(): string;
}
