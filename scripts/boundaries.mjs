// `turbo boundaries` over what is published: a copy of the workspace without tests, tools and devDependencies.
// turbo knows one kind of dependency, so in the workspace itself a test that takes a runtime would break the rule
// that its package must not, and every import of vitest would count as an undeclared one.
import { spawnSync } from "node:child_process";
import {
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const copy = mkdtempSync(join(tmpdir(), "tok-boundaries-"));
try {
	for (const file of ["turbo.json", "pnpm-workspace.yaml", "pnpm-lock.yaml"])
		cpSync(join(root, file), join(copy, file));
	copyManifest(".");
	for (const group of ["packages", "apps"].filter((group) => existsSync(join(root, group)))) {
		for (const name of readdirSync(join(root, group), { withFileTypes: true })) {
			if (name.isDirectory()) copyPackage(join(group, name.name));
		}
	}
	const turbo = join(root, "node_modules", "turbo", "bin", "turbo");
	const { status } = spawnSync(process.execPath, [turbo, "boundaries"], {
		cwd: copy,
		stdio: "inherit",
		env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1" },
	});
	process.exitCode = status ?? 1;
} finally {
	rmSync(copy, { recursive: true });
}

function copyPackage(folder) {
	mkdirSync(join(copy, folder), { recursive: true });
	copyManifest(folder);
	cpSync(join(root, folder, "turbo.json"), join(copy, folder, "turbo.json"));
	cpSync(join(root, folder, "src"), join(copy, folder, "src"), { recursive: true, filter: isPublished });
}

function isPublished(path) {
	return !/\.test(-d)?\.ts$|[\\/]testing$/.test(path);
}

function copyManifest(folder) {
	const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
	delete manifest.devDependencies;
	writeFileSync(join(copy, folder, "package.json"), JSON.stringify(manifest));
}
