// The last line of a test run: `N passed, N failed, N skipped`.
import type { Reporter, TestModule } from "vitest/node";

export default class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[]): void {
		const count = { passed: 0, failed: 0, skipped: 0 };
		for (const module of modules) {
			// A module that failed to load has no tests to count; it is one failure.
			if (module.errors().length > 0) count.failed++;
			for (const test of module.children.allTests()) {
				const { state } = test.result();
				count[state === "pending" ? "skipped" : state]++;
			}
		}
		// After the default reporter's own summary, whatever the order in which reporters are called.
		process.on("exit", () => {
			console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
		});
	}
}
