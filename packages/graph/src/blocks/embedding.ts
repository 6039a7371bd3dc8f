/** Token embeddings, with the table dense or in blocks. A head that shares the table is a linear layer. */
import { gather } from "../ops/indexing.ts";
import { gatherBlockQuantized } from "../ops/quantised.ts";
import { reshape } from "../ops/shape.ts";
import type { Value } from "../types.ts";
import type { LinearWeight } from "./linear.ts";

/** Rows of the table for ids [batch, tokens] → [batch · tokens, hidden]. Its bias, if any, is not used. */
export function embedding(ids: Value<"int64">, table: LinearWeight): Value<"float32"> {
	const rows = rowsOf(table, ids); // [batch, tokens, hidden]
	// Not the ids: the WebGPU provider leaves a Reshape of integers to the processor, where they would have to be copied.
	return reshape(rows, [-1, rows.shape[2] as number]);
}

function rowsOf(table: LinearWeight, ids: Value<"int64">): Value<"float32"> {
	if (table.kind === "dense") return gather(table.weight, ids, 0);
	const { codes, scales, bits, blockSize } = table;
	const [rows, blocks, bytes] = codes.shape as [number, number, number];
	const shape = [rows, blocks * bytes];
	const matrix = codes.graph.reshapedConstant(codes, shape) ?? reshape(codes, shape);
	return gatherBlockQuantized(matrix, ids, scales, { bits, blockSize });
}
