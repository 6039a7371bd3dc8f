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

/** Per layer, { window } when `layer_types` says so; `isSliding` stands in where the list is missing. */
export function windows(
	config: ConfigReader,
	isSliding: (layer: number) => boolean = () => false,
): { readonly window?: number }[] {
	const layers = config.count("num_hidden_layers");
	const types = config.perLayer("layer_types", layers, isString);
	return Array.from({ length: layers }, (_, layer) => {
		const sliding = types === undefined ? isSliding(layer) : types[layer] === "sliding_attention";
		return sliding ? { window: config.count("sliding_window") } : {};
	});
}

/** The model's rotation, of whichever scaling its configuration names. */
export function rope(config: ConfigReader): RopeOptions {
	return ropeOptionsFromConfig(config.record);
}
