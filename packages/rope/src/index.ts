export { type RopeAngles, ropeAngles } from "./rope-angles.ts";
export { RopeError } from "./rope-error.ts";
export { type RopeFrequencies, ropeFrequencies } from "./rope-frequencies.ts";
export type { RopeOptions, RopeScaling } from "./rope-options.ts";
export { ropeOptionsFromConfig } from "./rope-options-from-config.ts";
export { type Pairing, type Rotation, rotate, rotateRows, unrotate } from "./rotate.ts";
