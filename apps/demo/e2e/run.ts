/**
 * `npm run demo:e2e`: the page in a real browser, act by act, in minutes. `npm run demo:e2e -- offline` plays one of
 * them; `long`, which takes longer, is played by its name alone.
 */
import { badInput } from "./bad-input.ts";
import { longRun } from "./long-run.ts";
import { lostDevice } from "./lost-device.ts";
import { offline } from "./offline.ts";
import { Stage } from "./stage.ts";
import { views } from "./views.ts";

const acts = { views, lost: lostDevice, input: badInput, offline, long: longRun };
const usual = Object.keys(acts).filter((name) => name !== "long");
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in acts));
if (unknown.length > 0)
	throw new Error(`Expected acts among ${Object.keys(acts).join(", ")}, got ${unknown.join(", ")}.`);

const stage = await Stage.set();
try {
	for (const name of chosen.length > 0 ? chosen : usual) await acts[name as keyof typeof acts](stage);
} finally {
	await stage.strike();
}
