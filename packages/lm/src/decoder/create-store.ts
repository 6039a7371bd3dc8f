/** The buffers of a session: as large as its cache needs now, or as those that a file was saved from. */
import { formatPolicy, type KvCache, type Policy } from "@tok/kv-cache";
import { type KvShape, type KvStore, kvParts, TokError } from "@tok/runtime";
import { cacheShape, segmentCosts } from "./cache-cost.ts";
import type { DecoderEngine } from "./decoder-engine.ts";

/**
 * Throws when the model cannot keep what the policy says, the memory will not hold it, or a shape is given that does
 * not. Buffers grow while a window fills: that it will not fit is said before it has begun to.
 *
 * @param shape Defaults to what the cache needs.
 */
export function createStore(engine: DecoderEngine, cache: KvCache, shape?: KvShape): KvStore {
	const { runtime, config, remembering } = engine;
	const { policy } = cache;
	engine.checkPolicy(policy);
	const costs = segmentCosts(config, policy, remembering).map(({ kind, slots, bytes, diskBytes }) => ({
		kind,
		slots,
		bytes: runtime.valuesOnDisk ? bytes - diskBytes : bytes,
	}));
	const bytes = costs.reduce((sum, { slots, bytes }) => sum + slots * bytes, 0);
	const limit = runtime.memoryLimit ?? Number.POSITIVE_INFINITY;
	if (Number.isFinite(bytes) && bytes > limit) {
		const sum = costs.map(({ kind, slots, bytes }) => `${kind} ${slots} × ${bytes}`).join(" + ");
		throw new TokError(
			"lm",
			`${formatPolicy(policy)}: expected a cache within the ${limit} bytes of memory, got ${bytes} ` +
				`(${sum}, slots × bytes). Choose a smaller window or memory.`,
		);
	}
	const needed = cacheShape(config, policy, cache.slots(), remembering);
	if (shape !== undefined && !holds(shape, needed, policy))
		throw new TokError(
			"lm",
			`snapshot: expected a cache that holds ${JSON.stringify(needed)}, got ${JSON.stringify(shape)}. ` +
				"The file is not of this program's making.",
		);
	return runtime.createKvStore(shape === undefined ? needed : withSparseValues(shape, needed));
}

/** What may lie on disk is for the policy to say, whatever a file was saved from. */
function withSparseValues(shape: KvShape, { kinds = [] }: KvShape): KvShape {
	const marked = shape.slots.map((_, segment) => ({
		...shape.kinds?.[segment],
		...(kinds[segment]?.sparseValues && { sparseValues: true }),
	}));
	return { ...shape, kinds: marked };
}

/**
 * Whether buffers of one shape hold what another needs: the same heads, and slots enough. A batch's have the batch's
 * slots and formats, which a session that comes out of it keeps. The shape may be anything that a file says.
 */
function holds(shape: Partial<KvShape>, needed: KvShape, policy: Policy): boolean {
	const { slots, kinds = [] } = shape;
	if (!Array.isArray(slots) || !Array.isArray(kinds) || slots.length !== needed.slots.length) return false;
	const enough = needed.slots.every((least, segment) => {
		const { takes } = policy[segment] ?? {};
		const unit = typeof takes === "object" ? takes.entries : 1;
		return slots[segment] >= least && slots[segment] % unit === 0;
	});
	const of = { layers: needed.layers, kvHeads: needed.kvHeads, headDim: needed.headDim };
	const heads = (shape: Omit<KvShape, "slots">): string =>
		JSON.stringify(needed.slots.map((_, segment) => kvParts(shape, segment)));
	return (
		enough &&
		JSON.stringify([shape.layers, shape.kvHeads, shape.headDim]) === JSON.stringify(Object.values(of)) &&
		heads({ ...of, kinds }) === heads(needed)
	);
}
