/** What a process may sensibly allocate: the machine's memory, or its container's when that is smaller. */
import { totalmem } from "node:os";

export function memoryLimit(): number {
	// 0 when nothing constrains the process, and an absurdly large number under some cgroup v1 hosts.
	const constrained = process.constrainedMemory();
	return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
