/**
 * Typed calls over a message port: a Worker, its own side, or a MessageChannel in tests. Knows nothing of what is
 * called.
 */
import type { Call } from "../protocol.ts";

type Table<Calls> = { readonly [Name in keyof Calls]: Call<unknown, unknown, unknown> };

export interface Port {
	postMessage(message: unknown): void;
	addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

export interface CallOptions<Event> {
	readonly signal?: AbortSignal | undefined;
	readonly onEvent?: (event: Event) => void;
}

export type Client<Calls extends Table<Calls>> = <Name extends keyof Calls>(
	name: Name,
	params: Calls[Name]["params"],
	options?: CallOptions<Calls[Name]["event"]>,
) => Promise<Calls[Name]["result"]>;

export interface Context<Event> {
	readonly signal: AbortSignal;
	emit(event: Event): void;
}

export type Handlers<Calls extends Table<Calls>> = {
	readonly [Name in keyof Calls]: (
		params: Calls[Name]["params"],
		context: Context<Calls[Name]["event"]>,
	) => Promise<Calls[Name]["result"]> | Calls[Name]["result"];
};

type Request =
	| { readonly type: "call"; readonly id: number; readonly name: string; readonly params: unknown }
	| { readonly type: "cancel"; readonly id: number };

type Reply =
	| { readonly type: "event"; readonly id: number; readonly event: unknown }
	| { readonly type: "result"; readonly id: number; readonly value: unknown }
	| { readonly type: "error"; readonly id: number; readonly message: string };

interface Waiting {
	resolve(value: unknown): void;
	reject(error: unknown): void;
	onEvent(event: unknown): void;
}

/** The calling side. An aborted call rejects with the signal's reason once the other side has ended it. */
export function connect<Calls extends Table<Calls>>(port: Port): Client<Calls> {
	const waiting = new Map<number, Waiting>();
	let calls = 0;
	port.addEventListener("message", ({ data }) => {
		const reply = data as Reply;
		const call = waiting.get(reply.id);
		if (call === undefined) return;
		if (reply.type === "event") return call.onEvent(reply.event);
		waiting.delete(reply.id);
		if (reply.type === "result") call.resolve(reply.value);
		else call.reject(new Error(reply.message));
	});
	return (name, params, { signal, onEvent } = {}) => {
		if (signal?.aborted) return Promise.reject(signal.reason);
		const id = ++calls;
		const { promise, resolve, reject } = Promise.withResolvers<unknown>();
		const cancel = (): void => port.postMessage({ type: "cancel", id } satisfies Request);
		signal?.addEventListener("abort", cancel);
		const end = (): void => signal?.removeEventListener("abort", cancel);
		waiting.set(id, {
			resolve(value) {
				end();
				resolve(value);
			},
			reject(error) {
				end();
				reject(signal?.aborted ? signal.reason : error);
			},
			// After an abort nobody wants to hear what was under way.
			onEvent: (event) => signal?.aborted || onEvent?.(event as never),
		});
		port.postMessage({ type: "call", id, name: name as string, params } satisfies Request);
		return promise as Promise<never>;
	};
}

/** The called side. */
export function serve<Calls extends Table<Calls>>(port: Port, handlers: Handlers<Calls>): void {
	const running = new Map<number, AbortController>();
	const send = (reply: Reply): void => port.postMessage(reply);
	port.addEventListener("message", async ({ data }) => {
		const request = data as Request;
		const { id } = request;
		if (request.type === "cancel") return running.get(id)?.abort();
		const controller = new AbortController();
		running.set(id, controller);
		try {
			const handler = handlers[request.name as keyof Calls];
			const emit = (event: unknown): void => send({ type: "event", id, event });
			const value = await handler(request.params as never, { signal: controller.signal, emit });
			send({ type: "result", id, value });
		} catch (error) {
			send({ type: "error", id, message: error instanceof Error ? error.message : String(error) });
		} finally {
			running.delete(id);
		}
	});
}
