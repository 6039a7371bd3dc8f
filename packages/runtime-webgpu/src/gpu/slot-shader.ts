/**
 * Moves rows into slots, and slots into rows, on the GPU. One invocation moves one number of a key and the same of a
 * value: keys lie with their slots innermost, values with their dimensions (`kvNames` of @tok/runtime).
 */

/** Fields of `Layer`, whose `heads` follow. */
export const LAYER_FIELDS = 6;
/** Bytes between moves in their buffer: the alignment that dynamic offsets have on every device. */
export const MOVE_STRIDE = 256;
export const WORKGROUP = 64;

export const slotShader: string = /* wgsl */ `
struct Layer {
	plane: u32,     // of rows: first head of the layer's keys
	values: u32,    // of rows: heads from a key to its value
	headDim: u32,
	slots: u32,
	count: u32,     // heads
	first: u32,     // of the buffers: first head
	heads: array<u32>,
}
struct Move {
	row: u32,
	slot: u32,
	length: u32,
	tokens: u32,    // rows of a head
	base: u32,      // of rows: first number
}

@group(0) @binding(0) var<storage, read_write> rows: array<f32>;    // [layers, 2, heads, tokens, headDim]
@group(0) @binding(1) var<storage, read_write> keys: array<f32>;    // [heads, headDim, slots]
@group(0) @binding(2) var<storage, read_write> values: array<f32>;  // [heads, slots, headDim]
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
	keys[at.key] = rows[at.fromKey];
	values[at.value] = rows[at.fromValue];
}

@compute @workgroup_size(${WORKGROUP})
fn gather(@builtin(global_invocation_id) id: vec3u) {
	let at = placesOf(id.x, id.y);
	if (!at.inside) { return; }
	rows[at.fromKey] = keys[at.key];
	rows[at.fromValue] = values[at.value];
}
`;
