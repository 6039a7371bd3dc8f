/**
 * What the page and the worker say to each other: calls by name, each with its parameters, the events on its way, and
 * its result. `lib/rpc.ts` carries them; an AbortSignal becomes a cancel message, an error its message.
 */
import type { Positions } from "@tok/kv-cache";
import type { Precision, Progress, Sampling, TokenAttention } from "@tok/lm";
import type { BackendName, BackendOffer } from "./lib/pick-runtime.ts";
import type { SlotSegment } from "./lib/slot-map.ts";

export interface Call<Params, Result, Event = never> {
	readonly params: Params;
	readonly result: Result;
	readonly event: Event;
}

export interface Calls {
	readonly backends: Call<null, readonly BackendOffer[]>;
	readonly load: Call<LoadRequest, LoadedModel, Progress>;
	/** Tells of the device until it is cancelled. */
	readonly watch: Call<null, null, DeviceEvent>;
	readonly costs: Call<readonly string[], readonly PolicyCost[]>;
	readonly stored: Call<null, readonly StoredInfo[]>;
	readonly forget: Call<string, null>;
	readonly stream: Call<StreamRequest, null, LaneEvent>;
	readonly remember: Call<RememberRequest, null, RememberEvent>;
	/** Goes on with the stream that is looked into, or begins one, until it is paused. */
	readonly lookInside: Call<InsideRequest, null, InsideFrame>;
	/** Unlike a cancelled one, a call that is paused still tells of the token that was under way. */
	readonly pauseInside: Call<null, null>;
	readonly leaveInside: Call<null, null>;
	/** The chat that is open, if one is: it outlives the view. */
	readonly chat: Call<null, ChatState | null>;
	readonly openChat: Call<ChatRequest, ChatState>;
	readonly closeChat: Call<null, null>;
	readonly say: Call<SayRequest, ChatState, ChatEvent>;
	readonly saveChat: Call<null, Blob>;
	readonly restoreChat: Call<Blob, ChatState>;
}

export interface LoadRequest {
	readonly source: string | File | readonly File[];
	/** Tried first; the others follow. */
	readonly prefer: BackendName | undefined;
	/** Defaults to the file's own. */
	readonly precision: Precision | undefined;
}

export interface LoadedModel {
	readonly name: string;
	readonly architecture: string;
	readonly layers: number;
	/** Query heads of a layer. */
	readonly heads: number;
	readonly contextLength: number | undefined;
	readonly precision: Precision;
	readonly canChat: boolean;
	readonly canRemember: boolean;
	readonly backend: BackendName;
	/** Why those that were tried before it are not used. */
	readonly refusals: readonly string[];
	/** Heads that archive, of all. */
	readonly memoryHeads: readonly [number, number];
}

/** What becomes of the device that the model computes on. */
export type DeviceEvent =
	| { readonly kind: "lost"; readonly reason: string }
	| { readonly kind: "reopened"; readonly model: LoadedModel }
	/** A session is read again on the new device: so many of its tokens. */
	| { readonly kind: "reread"; readonly read: number; readonly total: number }
	/** The model could not be opened again. */
	| { readonly kind: "failed"; readonly message: string };

export type PolicyCost =
	/** Infinity for `dense`. */
	{ readonly policy: string; readonly bytes: number } | { readonly policy: string; readonly problem: string };

export interface StoredInfo {
	readonly name: string;
	readonly bytes: number;
	readonly complete: boolean;
}

export interface StreamRequest {
	/** "read" scores the text, over and over; "write" goes on from it for ever. */
	readonly mode: "read" | "write";
	readonly text: string;
	readonly policies: readonly string[];
	readonly positions: Positions;
	readonly sampling: Sampling;
	/** Tokens after which a lane without a bound is full. */
	readonly denseLimit: number;
	/** Tokens after which every lane ends; Infinity for none. */
	readonly limit: number;
}

export type LaneEvent =
	| { readonly kind: "preparing"; readonly lane: number }
	| {
			readonly kind: "step";
			readonly lane: number;
			/** One for each token, in order. */
			readonly texts: readonly string[];
			/** −ln p of each; undefined for a stream's first. */
			readonly nats: readonly (number | undefined)[];
			/** Tokens of the stream so far. */
			readonly length: number;
			/** Per token. */
			readonly milliseconds: number;
			/** Of the cache's buffers. */
			readonly bytes: number;
			readonly slots: readonly SlotSegment[];
	  }
	| { readonly kind: "full"; readonly lane: number; readonly length: number }
	| { readonly kind: "failed"; readonly lane: number; readonly message: string };

export interface RememberRequest {
	/** What streams by. */
	readonly text: string;
	/** Planted after some of the text. */
	readonly fact: string;
	readonly question: string;
	/** Tokens of text between fact and question. */
	readonly gap: number;
	readonly policies: readonly string[];
}

/** Characters [start, end) of a transcript. */
export interface Span {
	readonly start: number;
	readonly end: number;
}

export interface RecalledSpan extends Span {
	/** Mean share of attention, 0 to 1. */
	readonly mass: number;
}

export type RememberEvent =
	| { readonly kind: "preparing"; readonly lane: number }
	| {
			readonly kind: "read";
			readonly lane: number;
			/** Added to the transcript. */
			readonly text: string;
			readonly read: number;
			readonly total: number;
			readonly bytes: number;
			/** Tokens that are in the archive. */
			readonly archived: number;
			/** Where the window begins. */
			readonly window: number;
			/** Where the planted sentence lies, once it was read. */
			readonly fact: Span | undefined;
	  }
	| { readonly kind: "answer"; readonly lane: number; readonly text: string }
	| {
			readonly kind: "recalled";
			readonly lane: number;
			readonly passages: readonly RecalledSpan[];
			readonly window: number;
	  }
	| { readonly kind: "failed"; readonly lane: number; readonly message: string };

export interface InsideRequest {
	/** A stream of its own; undefined to go on with the last one. */
	readonly begin: InsideStream | undefined;
	/** Frames until it pauses; Infinity for ever. */
	readonly frames: number;
}

export interface InsideStream {
	/** "read" goes through the text, over and over; "write" goes on from it for ever. */
	readonly mode: "read" | "write";
	readonly text: string;
	readonly policy: string;
	readonly sampling: Sampling;
	/** Tokens after which a stream without a bound ends. */
	readonly denseLimit: number;
}

/** What the last of the tokens that were read looks at. */
export interface InsideFrame {
	readonly attention: TokenAttention;
	/** Of the tokens that were read since the last frame, in order. */
	readonly texts: readonly string[];
	/** What it has chosen to come next, where something was chosen. */
	readonly next: string | undefined;
	/** The kind of each segment of the policy: "sink", "rolling", … */
	readonly segments: readonly string[];
	/** Per token. */
	readonly milliseconds: number;
	/** Of the cache's buffers. */
	readonly bytes: number;
}

export interface ChatRequest {
	readonly system: string;
	readonly policy: string;
}

export interface SayRequest {
	readonly text: string;
	readonly sampling: Sampling;
	readonly maxTokens: number;
}

export interface ChatTurn {
	readonly who: "you" | "model";
	readonly text: string;
	/** Tokens of the stream after it. */
	readonly end: number;
	/** What became of it, when it is not whole. */
	readonly note?: string;
}

/** A chat as the cache sees it, in tokens of the stream. */
export interface ChatState {
	/** Empty where nobody knows: of a session that another program has saved. */
	readonly system: string;
	readonly policy: string;
	readonly length: number;
	/** Tokens at the beginning that never leave. */
	readonly pinned: number;
	/** First token that the window holds. */
	readonly window: number;
	readonly bytes: number;
	/** The latest. */
	readonly turns: readonly ChatTurn[];
	/** What the last answer went back to. */
	readonly recalled: readonly { readonly text: string; readonly mass: number }[];
}

export type ChatEvent =
	| { readonly kind: "reading"; readonly read: number; readonly total: number }
	| {
			readonly kind: "token";
			readonly text: string;
			/** Tokens of the stream so far. */
			readonly length: number;
			/** First token that the window holds. */
			readonly window: number;
	  };
