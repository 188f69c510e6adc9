// Parameters of a model in GPU memory: as they are in the file, or quantised.

/** Storage types of float weights. Activations are always f32. */
export type ElementType = 'f32' | 'f16' | 'bf16';

/**
 * Storage types of quantised weights: NF4 as bitsandbytes defines it (one absmax for 64 consecutive elements, no double
 * quantisation), and int8 with one scale for each row.
 */
export type QuantizedType = 'nf4' | 'int8';

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { f32: 4, f16: 2, bf16: 2 };

/** Consecutive rows of a weight matrix in one buffer. */
export interface WeightPart {
  readonly buffer: GPUBuffer;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * A weight matrix [rows, columns] in PyTorch's order: [out features, in features] for a linear layer. A matrix
 * larger than the device's largest binding is split into parts by rows; most have one part.
 */
export interface Weight {
  readonly name: string;
  readonly type: ElementType;
  readonly rows: number;
  readonly columns: number;
  /** Elements from row to row: `columns` rounded up to a multiple of 4, since kernels read vec4. The rest is zeros. */
  readonly stride: number;
  readonly parts: readonly WeightPart[];
}

/** Consecutive rows of a quantised matrix. */
export interface QuantizedPart extends WeightPart {
  /** f32. NF4: absmax of each 64 elements of the part, counted row by row without gaps. int8: one for each row. */
  readonly scales: GPUBuffer;
}

/** A quantised matrix [rows, columns]. `buffer` of its parts holds the codes. */
export interface QuantizedWeight {
  readonly name: string;
  readonly type: QuantizedType;
  readonly rows: number;
  readonly columns: number;
  /** Codes from row to row: `columns` rounded up to whole words. The rest stands for zeros. */
  readonly stride: number;
  readonly parts: readonly QuantizedPart[];
}

/** The matrix of a linear layer. Tables that are read row by row (embeddings) are never quantised. */
export type LinearWeight = Weight | QuantizedWeight;

export function isQuantized(weight: LinearWeight): weight is QuantizedWeight {
  return weight.type === 'nf4' || weight.type === 'int8';
}

/** Elements of a matrix that share an NF4 scale. */
export const NF4_BLOCK = 64;

/** Codes in a 4-byte word. */
export const CODES_PER_WORD: Readonly<Record<QuantizedType, number>> = { nf4: 8, int8: 4 };

/** Rows of which as many as wanted make whole blocks: parts begin at multiples of it. */
export function blockRows(type: QuantizedType, columns: number): number {
  if (type === 'int8') return 1;
  let common = NF4_BLOCK; // the greatest divisor of a power of two and `columns`
  while (columns % common !== 0) common /= 2;
  return NF4_BLOCK / common;
}

/** Scales of `rows` rows. */
export function scaleCount(type: QuantizedType, rows: number, columns: number): number {
  return type === 'int8' ? rows : Math.ceil((rows * columns) / NF4_BLOCK);
}

/**
 * A vector of parameters (bias, LayerNorm scale), always widened to f32: they are small and read often. The buffer
 * is filled up with zeros to a multiple of 4 elements.
 */
export interface Vector {
  readonly name: string;
  readonly length: number;
  readonly buffer: GPUBuffer;
}
