/**
 * Moves rows into slots, and slots into rows, on the GPU. One invocation moves one number of a key and the same of a
 * value: keys lie with their slots innermost, values with their dimensions (`kvNames` of @tok/runtime). Rows are float32,
 * slots float32 or float16. Two float16 share a word, of which each invocation changes its half alone: every device can
 * do that, also one that does not compute in float16.
 */
import type { KvFormat } from "@tok/runtime";

/** Fields of `Layer`, whose `heads` follow. */
export const LAYER_FIELDS = 6;
/** Bytes between moves in their buffer: the alignment that dynamic offsets have on every device. */
export const MOVE_STRIDE = 256;
export const WORKGROUP = 64;

/** How slots are declared, read and written. */
const accessOf: Readonly<Record<GpuFormat, string>> = {
	float32: /* wgsl */ `
alias Slots = array<f32>;
fn readKey(at: u32) -> f32 { return keys[at]; }
fn readValue(at: u32) -> f32 { return values[at]; }
fn writeKey(at: u32, x: f32) { keys[at] = x; }
fn writeValue(at: u32, x: f32) { values[at] = x; }
`,
	float16: /* wgsl */ `
alias Slots = array<atomic<u32>>;
fn halfOf(word: u32, at: u32) -> f32 { return unpack2x16float(word)[at % 2]; }
fn bitsOf(x: f32, at: u32) -> u32 { return pack2x16float(vec2f(x, 0)) << (16 * (at % 2)); }
fn otherHalf(at: u32) -> u32 { return 0xffff0000u >> (16 * (at % 2)); }
fn readKey(at: u32) -> f32 { return halfOf(atomicLoad(&keys[at / 2]), at); }
fn readValue(at: u32) -> f32 { return halfOf(atomicLoad(&values[at / 2]), at); }
fn writeKey(at: u32, x: f32) {
	atomicAnd(&keys[at / 2], otherHalf(at));
	atomicOr(&keys[at / 2], bitsOf(x, at));
}
fn writeValue(at: u32, x: f32) {
	atomicAnd(&values[at / 2], otherHalf(at));
	atomicOr(&values[at / 2], bitsOf(x, at));
}
`,
};

/** Formats that the shader moves. */
export type GpuFormat = Exclude<KvFormat, "int8">;

/**
 * Buffers: rows [layers, 2, heads, tokens, headDim], keys [heads, headDim, slots], values [heads, slots, headDim].
 *
 * `Layer`: of the rows, `plane` is the first head of the layer's keys and `values` the heads from a key to its value; of
 * the buffers, there are `count` heads from `first` on. `Move`: a head has `tokens` rows, and `base` is the first number
 * of them all.
 */
export const slotShader = (format: GpuFormat): string => /* wgsl */ `
${accessOf[format]}
struct Layer { plane: u32, values: u32, headDim: u32, slots: u32, count: u32, first: u32, heads: array<u32> }
struct Move { row: u32, slot: u32, length: u32, tokens: u32, base: u32 }

@group(0) @binding(0) var<storage, read_write> rows: array<f32>;
@group(0) @binding(1) var<storage, read_write> keys: Slots;
@group(0) @binding(2) var<storage, read_write> values: Slots;
@group(0) @binding(3) var<storage, read> layer: Layer;
@group(0) @binding(4) var<uniform> job: Move;

struct Places { key: u32, value: u32, fromKey: u32, fromValue: u32, inside: bool }

fn placesOf(index: u32, head: u32) -> Places {
	let width = layer.headDim;
	let i = index / width;
	let d = index % width;
	let slot = job.slot + i;
	let own = layer.first + head;
	let row = ((layer.plane + layer.heads[head]) * job.tokens + job.row + i) * width + d + job.base;
	return Places(
		(own * width + d) * layer.slots + slot,
		(own * layer.slots + slot) * width + d,
		row,
		row + layer.values * job.tokens * width,
		i < job.length && head < layer.count,
	);
}

@compute @workgroup_size(${WORKGROUP})
fn scatter(@builtin(global_invocation_id) id: vec3u) {
	let at = placesOf(id.x, id.y);
	if (!at.inside) { return; }
	writeKey(at.key, rows[at.fromKey]);
	writeValue(at.value, rows[at.fromValue]);
}

@compute @workgroup_size(${WORKGROUP})
fn gather(@builtin(global_invocation_id) id: vec3u) {
	let at = placesOf(id.x, id.y);
	if (!at.inside) { return; }
	rows[at.fromKey] = readKey(at.key);
	rows[at.fromValue] = readValue(at.value);
}
`;
