/** What a process of the browser takes, as Linux counts it. Pages do not see WebAssembly's memory of their workers. */
import { readFileSync } from "node:fs";

export interface ProcessMemory {
	/** Bytes in memory now. */
	readonly resident: number;
	/** The most that it has ever been. */
	readonly peak: number;
}

/** Undefined where there is no /proc, or no such process any more. */
export function processMemory(id: number): ProcessMemory | undefined {
	try {
		return parseStatus(readFileSync(`/proc/${id}/status`, "utf8"));
	} catch {
		return undefined;
	}
}

/** @param status The text of /proc/ID/status. */
export function parseStatus(status: string): ProcessMemory | undefined {
	const kibibytes = (name: string): number | undefined => {
		const [, digits] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
		return digits === undefined ? undefined : Number(digits);
	};
	const resident = kibibytes("VmRSS");
	const peak = kibibytes("VmHWM");
	return resident === undefined || peak === undefined
		? undefined
		: { resident: resident * 1024, peak: peak * 1024 };
}
