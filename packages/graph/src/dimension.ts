/**
 * Arithmetic on dimensions. A symbolic dimension is a polynomial with integer coefficients in its symbols, written in
 * one normal form – symbols of a product and terms of a sum in alphabetical order, the constant last – so that
 * "tokens+slots" and "slots+tokens" are one string, and equality is `===`.
 */
import { GraphError } from "./errors.ts";
import type { Dim, Shape } from "./types.ts";

/** Product of symbols ("slots*tokens"; "" is 1) → its coefficient; never 0. */
type Polynomial = Map<string, number>;

const symbol = /^[A-Za-z_][\w.]*$/;
/** Terms joined by + or −, factors by *. */
const wellFormed = /^-?([A-Za-z_][\w.]*|\d+)([-+*]([A-Za-z_][\w.]*|\d+))*$/;

function parse(dim: Dim): Polynomial {
	if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
	if (!wellFormed.test(dim)) {
		throw new GraphError(
			`expected a dimension that is an integer ≥ 0, a symbol (letters, digits, "_", ".") or a sum of products of them, got ${JSON.stringify(dim)}. Rename the symbol`,
		);
	}
	const result: Polynomial = new Map();
	for (const [, minus, term = ""] of dim.matchAll(/(-?)([^+-]+)/g)) {
		const factors = term.split("*");
		const symbols = factors.filter((factor) => symbol.test(factor)).sort();
		const numbers = factors.filter((factor) => !symbol.test(factor));
		accumulate(
			result,
			symbols.join("*"),
			numbers.reduce((product, factor) => product * Number(factor), minus ? -1 : 1),
		);
	}
	return result;
}

function accumulate(polynomial: Polynomial, product: string, coefficient: number): void {
	const sum = (polynomial.get(product) ?? 0) + coefficient;
	if (sum === 0) polynomial.delete(product);
	else polynomial.set(product, sum);
}

function format(polynomial: Polynomial): Dim {
	const constant = polynomial.get("") ?? 0;
	const products = [...polynomial.keys()].filter((product) => product !== "").sort();
	if (products.length === 0) return constant;
	// A leading minus would read as a mistake: "tokens-slots", not "-slots+tokens".
	products.sort((a, b) => Number((polynomial.get(a) ?? 0) < 0) - Number((polynomial.get(b) ?? 0) < 0));
	let text = "";
	for (const product of products) {
		const coefficient = polynomial.get(product) ?? 0;
		const sign = coefficient < 0 ? "-" : text === "" ? "" : "+";
		text += `${sign}${Math.abs(coefficient) === 1 ? "" : `${Math.abs(coefficient)}*`}${product}`;
	}
	return constant === 0 ? text : `${text}${constant < 0 ? "-" : "+"}${Math.abs(constant)}`;
}

/** The normal form; throws when `dim` is neither a length nor a well-formed symbol. */
export function normaliseDim(dim: Dim): Dim {
	if (typeof dim === "string") return symbol.test(dim) ? dim : format(parse(dim));
	if (typeof dim === "number" && Number.isSafeInteger(dim) && dim >= 0) return dim;
	throw new GraphError(`expected a dimension that is an integer ≥ 0 or a symbol, got ${JSON.stringify(dim)}`);
}

export function addDims(a: Dim, b: Dim): Dim {
	if (typeof a === "number" && typeof b === "number") return a + b;
	const sum = parse(a);
	for (const [product, coefficient] of parse(b)) accumulate(sum, product, coefficient);
	return format(sum);
}

export function subtractDims(a: Dim, b: Dim): Dim {
	return addDims(a, multiplyDims(b, -1));
}

export function multiplyDims(a: Dim, b: Dim): Dim {
	if (typeof a === "number" && typeof b === "number") return a * b;
	if (a === 1) return b;
	if (b === 1) return a;
	const product: Polynomial = new Map();
	for (const [x, m] of parse(a)) {
		for (const [y, n] of parse(b)) {
			const symbols = [...x.split("*"), ...y.split("*")].filter((name) => name !== "").sort();
			accumulate(product, symbols.join("*"), m * n);
		}
	}
	return format(product);
}

/** a / b when it is exact for every value of the symbols, otherwise undefined. `b` is one product, or equals `a`. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
	if (a === b && a !== 0) return 1;
	const divisor = [...parse(b)];
	const [term] = divisor;
	if (term === undefined || divisor.length > 1) return undefined;
	const quotient: Polynomial = new Map();
	for (const [product, coefficient] of parse(a)) {
		const symbols = product === "" ? [] : product.split("*");
		for (const name of term[0] === "" ? [] : term[0].split("*")) {
			const index = symbols.indexOf(name);
			if (index < 0) return undefined;
			symbols.splice(index, 1);
		}
		if (coefficient % term[1] !== 0) return undefined;
		accumulate(quotient, symbols.join("*"), coefficient / term[1]);
	}
	return format(quotient);
}

/** The sum that a dimension is: each term an integer times symbols. [] is 0. */
export function termsOf(dim: Dim): { readonly coefficient: number; readonly symbols: readonly string[] }[] {
	return [...parse(dim)].map(([product, coefficient]) => ({
		coefficient,
		symbols: product === "" ? [] : product.split("*"),
	}));
}

/** Number of elements of a shape. */
export function productOf(shape: Shape): Dim {
	return shape.reduce<Dim>(multiplyDims, 1);
}

/** Elements of `a` per element of `b` when that is one dimension for every value of the symbols. */
export function divideShapes(a: Shape, b: Shape): Dim | undefined {
	const [above, below] = [[...a], [...b]];
	// What both have cancels, sums included, which `divideDims` could not divide by.
	for (const dim of b) {
		const index = dim === 0 ? -1 : above.indexOf(dim);
		if (index < 0) continue;
		above.splice(index, 1);
		below.splice(below.indexOf(dim), 1);
	}
	return divideDims(productOf(above), productOf(below));
}

/** "[batch, tokens, 576]". */
export function formatShape(shape: Shape): string {
	return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
	return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/**
 * The shape of an elementwise operation, by numpy's rule from the last axis on: equal dimensions, or one of them 1.
 * A symbol goes with itself and with 1. Undefined when the shapes do not fit.
 */
export function broadcastShapes(...shapes: readonly Shape[]): Shape | undefined {
	const rank = Math.max(...shapes.map((shape) => shape.length));
	const result: Dim[] = new Array(rank).fill(1);
	for (const shape of shapes) {
		for (const [index, dim] of shape.entries()) {
			const axis = rank - shape.length + index;
			if (dim === 1 || dim === result[axis]) continue;
			if (result[axis] !== 1) return undefined;
			result[axis] = dim;
		}
	}
	return result;
}
