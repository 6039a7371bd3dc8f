/**
 * What the worker answers the page's calls with: it owns runtime, model and sessions. What only some views ask for is
 * fetched when they do.
 */
import { serve } from "../lib/rpc.ts";
import type { Calls } from "../protocol.ts";
import type { Conversation } from "./conversation.ts";
import { Engine } from "./engine.ts";
import type { Inside } from "./inside.ts";
import { runLanes } from "./run-lanes.ts";

const parts = {
	chat: () => import("./conversation.ts"),
	inside: () => import("./inside.ts"),
	remember: () => import("./remember.ts"),
};

const engine = new Engine();
let chat: Conversation | undefined;
let chatting: Promise<unknown> = Promise.resolve();

let inside: Inside | undefined;
let looking: Promise<unknown> = Promise.resolve();
let pause = new AbortController();

async function fetched<Part>(fetch: () => Promise<Part>): Promise<Part> {
	try {
		return await fetch();
	} catch (cause) {
		throw new Error(
			"A part of the page could not be fetched. Load the model again once there is a network.",
			{ cause },
		);
	}
}

/** One after the other: an answer that was stopped still ends when the next call comes. */
function inTurn<T>(action: () => Promise<T> | T): Promise<T> {
	const result = chatting.then(action);
	chatting = result.catch(() => {});
	return result;
}

/** The same, beside a chat. */
function lookInTurn(action: () => Promise<void>): Promise<null> {
	const result = looking.then(action);
	looking = result.catch(() => {});
	return result.then(() => null);
}

function openChat(): Conversation {
	if (chat === undefined) throw new Error("The chat is not open. Start a new one.");
	return chat;
}

async function replaceChat(opening: Promise<Conversation> | undefined): Promise<void> {
	const next = await opening;
	chat?.dispose();
	chat = next;
}

serve<Calls>(self as never, {
	backends: () => engine.backends(),
	load: (request, context) => engine.load(request, context),
	watch: (_, context) => engine.watch(context),
	costs: (policies) => engine.costs(policies),
	stored: () => engine.stored(),
	forget: (name) => engine.forget(name),
	async stream(request, context) {
		await runLanes(engine, request, context);
		return null;
	},
	async remember(request, context) {
		const { remember } = await fetched(parts.remember);
		await remember(engine, request, context);
		return null;
	},
	lookInside({ begin, frames }, { signal, emit }) {
		pause = new AbortController();
		const paused = AbortSignal.any([signal, pause.signal]);
		return lookInTurn(async () => {
			if (begin !== undefined) {
				await inside?.close();
				inside = undefined;
				const { Inside } = await fetched(parts.inside);
				inside = await Inside.open(engine, begin);
			}
			if (inside === undefined) throw new Error("Nothing is looked into. Start anew.");
			await inside.look(frames, { signal: paused, emit });
		});
	},
	pauseInside() {
		pause.abort();
		return null;
	},
	leaveInside: () =>
		lookInTurn(async () => {
			await inside?.close();
			inside = undefined;
		}),
	chat: () => inTurn(() => chat?.state() ?? null),
	openChat: (request) =>
		inTurn(async () => {
			const { Conversation } = await fetched(parts.chat);
			await replaceChat(Conversation.start(engine, request));
			return openChat().state();
		}),
	closeChat: () =>
		inTurn(async () => {
			await replaceChat(undefined);
			return null;
		}),
	say: (request, context) => inTurn(() => openChat().say(request, context)),
	saveChat: () => inTurn(() => openChat().save()),
	restoreChat: (file) =>
		inTurn(async () => {
			const { Conversation } = await fetched(parts.chat);
			await replaceChat(Conversation.restore(engine, file));
			return openChat().state();
		}),
});
