/** How the layers of an architecture differ from each other: sliding windows, and which rotation each uses. */
import { type RopeOptions, ropeOptionsFromConfig } from "@tok/rope";
import type { LayerKind, LayerKinds } from "./architecture.ts";
import type { ConfigReader } from "./config-reader.ts";

const isString = (item: unknown): item is string => typeof item === "string";

/** One rotation for all layers; those that `layer_types` calls "sliding_attention" have `sliding_window`. */
export function uniformLayers(config: ConfigReader): LayerKinds {
	return { ropes: [rope(config)], layers: windows(config).map((window) => ({ ...window, rope: 0 })) };
}

/** As `uniformLayers`, with `sliding_window` on every layer when there is one. */
export function slidingLayers(config: ConfigReader): LayerKinds {
	const window = config.optionalCount("sliding_window");
	const layer: LayerKind = window === undefined ? { rope: 0 } : { rope: 0, window };
	return {
		ropes: [rope(config)],
		layers: Array.from({ length: config.count("num_hidden_layers") }, () => layer),
	};
}

/**
 * Per layer, { window } when `layer_types` says so, or `sliding_window_pattern` n, by which every nth layer sees
 * everything; `isSliding` stands in where the file says neither.
 */
export function windows(
	config: ConfigReader,
	isSliding: (layer: number) => boolean = () => false,
): { readonly window?: number }[] {
	const layers = config.count("num_hidden_layers");
	const types = config.perLayer("layer_types", layers, isString);
	const pattern = config.optionalCount("sliding_window_pattern");
	const byPattern = pattern === undefined ? isSliding : (layer: number) => (layer + 1) % pattern !== 0;
	return Array.from({ length: layers }, (_, layer) => {
		const sliding = types === undefined ? byPattern(layer) : types[layer] === "sliding_attention";
		return sliding ? { window: config.count("sliding_window") } : {};
	});
}

/** Layers that see everything rotate by the first, layers with a window by the second. */
export function withRopeOfWindows(
	layers: readonly { readonly window?: number }[],
	everything: RopeOptions,
	windowed: RopeOptions,
): LayerKinds {
	return {
		ropes: [everything, windowed],
		layers: layers.map((kind) => ({ ...kind, rope: kind.window === undefined ? 0 : 1 })),
	};
}

/** The model's rotation, of whichever scaling its configuration names. */
export function rope(config: ConfigReader): RopeOptions {
	try {
		return ropeOptionsFromConfig(config.record);
	} catch (cause) {
		throw config.unreadable(cause);
	}
}
