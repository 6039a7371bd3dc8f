/**
 * Lanes that run the same stream under different policies, on one runtime. Whoever has had the least time goes next, so
 * equally fast lanes keep step, and a slow one falls behind by as much as it is slower.
 */
import type { Context } from "../lib/rpc.ts";
import type { LaneEvent, StreamRequest } from "../protocol.ts";
import { Lane } from "./lane.ts";
import type { Host } from "./lasting-session.ts";

/** Runs until the signal; rejects with its reason. A lane that fails ends alone. */
export async function runLanes(
	host: Host,
	request: StreamRequest,
	{ signal, emit }: Context<LaneEvent>,
): Promise<void> {
	const ids = (await host.current()).model.tokenizer.encode(request.text);
	const lanes: Lane[] = [];
	const attempt = async (lane: number, action: () => Promise<void>): Promise<boolean> => {
		try {
			await action();
			return true;
		} catch (error) {
			signal.throwIfAborted();
			emit({ kind: "failed", lane, message: (error as Error).message });
			return false;
		}
	};
	try {
		for (const [lane, policy] of request.policies.entries()) {
			emit({ kind: "preparing", lane });
			await attempt(lane, async () => {
				lanes.push(await Lane.open(host, lane, policy, request, ids));
			});
			signal.throwIfAborted();
		}
		for (const running = new Set(lanes); running.size > 0; ) {
			signal.throwIfAborted();
			const lane = [...running].reduce((least, other) => (other.spent < least.spent ? other : least));
			if (lane.full) {
				emit({ kind: "full", lane: lane.index, length: lane.length });
				running.delete(lane);
				continue;
			}
			const goesOn = await attempt(lane.index, async () => {
				const event = await lane.step(signal);
				if (!signal.aborted) emit(event);
			});
			if (!goesOn) running.delete(lane);
		}
	} finally {
		for (const lane of lanes) await lane.close();
	}
}
