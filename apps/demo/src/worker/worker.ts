/** The worker's entry: it owns runtime, model and sessions, and answers the page's calls. */
import { serve } from "../lib/rpc.ts";
import type { Calls } from "../protocol.ts";
import { Conversation } from "./conversation.ts";
import { Engine } from "./engine.ts";
import { remember } from "./remember.ts";
import { runLanes } from "./run-lanes.ts";

const engine = new Engine();
let chat: Conversation | undefined;

function openChat(): Conversation {
	if (chat === undefined) throw new Error("The chat is not open. Start a new one.");
	return chat;
}

serve<Calls>(self as never, {
	backends: () => engine.backends(),
	async load(request, context) {
		chat = undefined;
		return engine.load(request, context);
	},
	costs: (policies) => engine.costs(policies),
	stored: () => engine.stored(),
	forget: (name) => engine.forget(name),
	async stream(request, context) {
		await runLanes(engine.model, request, context);
		return null;
	},
	async remember(request, context) {
		await remember(engine.model, request, context);
		return null;
	},
	async openChat(request) {
		chat?.dispose();
		chat = undefined;
		chat = Conversation.start(engine.model, request);
		return chat.state();
	},
	say: (request, context) => openChat().say(request, context),
	saveChat: () => openChat().save(),
	async restoreChat(file) {
		const restored = await Conversation.restore(engine.model, file);
		chat?.dispose();
		chat = restored;
		return chat.state();
	},
});
