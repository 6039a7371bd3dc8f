/** What the visitor has chosen and views outlive: samplers, and light or dark. */
import type { Sampling } from "@tok/lm";

export class Sampler {
	temperature: number;
	topP: number;
	repetitionPenalty = $state(1.1);
	seed = $state(7);

	constructor(temperature: number, topP: number) {
		this.temperature = $state(temperature);
		this.topP = $state(topP);
	}

	get sampling(): Sampling {
		const { temperature, topP, repetitionPenalty, seed } = this;
		return { temperature, topP, repetitionPenalty, repetitionWindow: 256, seed };
	}
}

class Settings {
	readonly story = new Sampler(0.8, 0.95);
	/** What SmolLM2's authors advise: at a story's temperature so small a model answers anything. */
	readonly chat = new Sampler(0.2, 0.9);
	/** Undefined: as the system has it. */
	theme: "light" | "dark" | undefined = $state();
	/** Changes with what colours are: canvases are drawn again. */
	colours = $state(0);

	constructor() {
		const stored = read("tok-theme");
		if (stored === "light" || stored === "dark") this.#apply(stored);
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colours++);
	}

	get dark(): boolean {
		// So that it is asked again when the system changes.
		void this.colours;
		return (this.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
	}

	toggleTheme(): void {
		this.#apply(this.dark ? "light" : "dark");
	}

	#apply(theme: "light" | "dark"): void {
		this.theme = theme;
		document.documentElement.dataset.theme = theme;
		this.colours++;
		try {
			localStorage.setItem("tok-theme", theme);
		} catch {
			// Where nothing may be stored it lasts as long as the page.
		}
	}
}

function read(key: string): string | null {
	try {
		return localStorage.getItem(key);
	} catch {
		return null;
	}
}

export const settings = new Settings();

/** A token of the style sheet as a canvas takes it. */
export function cssColour(name: string): string {
	const probe = document.createElement("span");
	probe.style.color = `var(--${name})`;
	document.body.append(probe);
	const { color } = getComputedStyle(probe);
	probe.remove();
	return color;
}
