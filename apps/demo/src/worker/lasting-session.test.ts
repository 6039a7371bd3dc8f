/** Sessions over devices that are lost, on a model that is only counting; the real thing is tested in browsers. */
import { parsePolicy } from "@tok/kv-cache";
import type { AppendOptions, GeneratedToken, GenerateOptions, Model, Session, SessionOptions } from "@tok/lm";
import { beforeEach, describe, expect, test } from "vitest";
import { type Held, type Host, LastingSession } from "./lasting-session.ts";

const END = 0;
const policy = parsePolicy("sink:4,rolling:28");
const CHUNK = 4;

/** A device, and the model on it. */
class Device implements Held {
	readonly lost: Promise<string>;
	readonly model: Model;
	/** Tokens that it has yet to read; then it is lost. */
	life = Number.POSITIVE_INFINITY;
	/** Tokens that were read on it. */
	read = 0;
	readonly #lose: (reason: string) => void;

	constructor(lasting = false) {
		const { promise, resolve } = Promise.withResolvers<string>();
		this.#lose = resolve;
		this.lost = promise;
		if (lasting) Object.assign(this, { lost: undefined });
		this.model = {
			tokenizer: { endOfTextIds: new Set([END]) },
			prepare: async () => this.#check(),
			createSession: (options: SessionOptions) => new Counting(this, [...((options.pin ?? []) as number[])]),
			restoreSession: async (file: Blob) => new Counting(this, JSON.parse(await file.text())),
		} as unknown as Model;
	}

	async compute(tokens: number): Promise<void> {
		await Promise.resolve();
		if (this.life < tokens) this.life = 0;
		this.#check();
		this.life -= tokens;
		this.read += tokens;
	}

	#check(): void {
		if (this.life <= 0) {
			this.#lose("taken away");
			throw new Error("expected a GPU that works");
		}
	}
}

/** What comes next depends on every token before. */
const next = (ids: readonly number[]): number =>
	1 + (ids.reduce((sum, id, at) => (sum * 31 + id * (at + 7)) % 10_007, 5) % 90);

class Counting {
	readonly policy = policy;
	readonly #device: Device;
	readonly #ids: number[];

	constructor(device: Device, ids: number[]) {
		this.#device = device;
		this.#ids = ids;
	}

	get stats(): Session["stats"] {
		return { length: this.#ids.length, attached: 0, retained: 0, evicted: 0, bytes: 0, diskBytes: 0 };
	}

	async append(ids: readonly number[], { signal, onProgress }: AppendOptions = {}): Promise<void> {
		for (let from = 0; from < ids.length; from += CHUNK) {
			signal?.throwIfAborted();
			const chunk = ids.slice(from, from + CHUNK);
			await this.#device.compute(chunk.length);
			this.#ids.push(...chunk);
			onProgress?.(from + chunk.length, ids.length);
		}
	}

	async *generate({
		maxTokens = Number.POSITIVE_INFINITY,
		seed = 0,
		signal,
	}: GenerateOptions): AsyncGenerator<GeneratedToken> {
		for (let count = 0; count < maxTokens; count++) {
			if (signal?.aborted) return;
			await this.#device.compute(1);
			const id = next([seed, ...this.#ids]);
			this.#ids.push(id);
			yield { id, text: String(id) };
		}
	}

	async save(target: WritableStream<Uint8Array>): Promise<void> {
		await this.#device.compute(0);
		const writer = target.getWriter();
		await writer.write(new TextEncoder().encode(JSON.stringify(this.#ids)));
		await writer.close();
	}

	dispose(): void {}
}

let devices: Device[];
let reread: number[];
/** Opens on the next device once one is lost. */
let host: Host;

beforeEach(() => {
	devices = [new Device(), new Device(), new Device(), new Device(), new Device()];
	reread = [];
	let at = 0;
	host = {
		async current() {
			const held = devices[at] as Device;
			const lost = await Promise.race([held.lost, Promise.resolve(undefined)]);
			if (lost === undefined) return held;
			at++;
			if (devices[at] === undefined) throw new Error("No backend can be had.");
			return this.current();
		},
		reread: (read, total) => void reread.push(read, total),
	};
});

const prompt = Array.from({ length: 30 }, (_, i) => 1 + ((i * 7) % 90));

async function story(session: LastingSession, options: GenerateOptions): Promise<number[]> {
	const ids: number[] = [];
	for await (const { id } of session.generate(options)) ids.push(id);
	return ids;
}

/** The same on a device that lasts. */
async function expected(count: number): Promise<number[]> {
	const ids = [...prompt];
	for (let i = 0; i < count; i++) ids.push(next([0, ...ids]));
	return ids.slice(prompt.length);
}

describe("a device that is lost", () => {
	test("while a text is read: it is read again, and whole", async () => {
		(devices[0] as Device).life = 10;
		const session = await LastingSession.open(host, { policy });
		await session.append(prompt);
		expect(session.stats.length).toBe(30);
		expect(devices.map(({ read }) => read)).toEqual([8, 30, 0, 0, 0]);
		expect(await story(session, { maxTokens: 5 })).toEqual(await expected(5));
	});

	test("while tokens are chosen: none is missing, none comes twice", async () => {
		(devices[0] as Device).life = 30 + 3;
		(devices[1] as Device).life = 33 + 2;
		const session = await LastingSession.open(host, { policy });
		await session.append(prompt);
		expect(await story(session, { maxTokens: 12 })).toEqual(await expected(12));
		expect(devices.map(({ read }) => read)).toEqual([33, 35, 35 + 7, 0, 0]);
		expect(reread.slice(-2)).toEqual([35, 35]);
	});

	test("between two calls, with a pinned beginning", async () => {
		const session = await LastingSession.open(host, { policy, pin: [9, 9] });
		await session.append(prompt);
		(devices[0] as Device).life = 0;
		await session.append([1, 2, 3]);
		expect(session.stats.length).toBe(35);
	});

	test("while it is read again", async () => {
		const session = await LastingSession.open(host, { policy });
		await session.append(prompt);
		(devices[0] as Device).life = 0;
		(devices[1] as Device).life = 7;
		expect(await story(session, { maxTokens: 4 })).toEqual(await expected(4));
	});

	test("over and over is an error in the end", async () => {
		for (const device of devices) device.life = 1;
		const session = await LastingSession.open(host, { policy });
		await expect(session.append(prompt)).rejects.toThrow("expected a GPU that works");
	});

	test("and none to be had after it is that error", async () => {
		for (const device of devices.splice(1)) device.life = 0;
		(devices[0] as Device).life = 1;
		const session = await LastingSession.open(host, { policy });
		await expect(session.append(prompt)).rejects.toThrow("No backend can be had.");
	});
});

test("a snapshot takes the place of what was noted: what is read again stays short", async () => {
	const session = await LastingSession.open(host, { policy });
	for (let i = 0; i < 100; i++) await session.append(prompt);
	(devices[0] as Device).life = 0;
	await session.append([1]);
	expect(session.stats.length).toBe(3001);
	expect((devices[1] as Device).read).toBeLessThan(600);
});

test("snapshots are taken in the middle of a story too", async () => {
	const session = await LastingSession.open(host, { policy });
	await session.append(prompt);
	(devices[0] as Device).life = 30 + 2000;
	expect(await story(session, { maxTokens: 2500 })).toEqual(await expected(2500));
	expect((devices[1] as Device).read).toBeLessThan(2500 - 2000 + 1100);
});

test("a restored session begins with its file", async () => {
	const session = await LastingSession.restore(host, new Blob([JSON.stringify(prompt)]));
	await session.append([5]);
	(devices[0] as Device).life = 0;
	await session.append([6]);
	expect(session.stats.length).toBe(32);
	expect((devices[1] as Device).read).toBe(2);
});

test("an abort is no loss: what was read stays, also on the next device", async () => {
	const session = await LastingSession.open(host, { policy });
	const controller = new AbortController();
	const onProgress = (read: number): void => {
		if (read === 8) controller.abort();
	};
	const { signal } = controller;
	const begun = performance.now();
	await expect(session.append(prompt, { signal, onProgress })).rejects.toThrow("aborted");
	expect(performance.now() - begun).toBeLessThan(100);
	expect(session.stats.length).toBe(8);
	(devices[0] as Device).life = 0;
	await session.append([1]);
	expect(session.stats.length).toBe(9);
});

test("an error of another kind stays one", async () => {
	const session = await LastingSession.open(host, { policy });
	await expect(
		session.append(prompt, {
			onProgress() {
				throw new Error("no room");
			},
		}),
	).rejects.toThrow("no room");
	expect((devices[1] as Device).read).toBe(0);
});

test("where nothing can be lost nothing is kept", async () => {
	devices = [new Device(true)];
	const session = await LastingSession.open(host, { policy });
	for (let i = 0; i < 100; i++) await session.append(prompt);
	expect((await session.save()).size).toBeGreaterThan(0);
	expect((devices[0] as Device).read).toBe(3000);
});
