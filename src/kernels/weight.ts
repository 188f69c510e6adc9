// Parameters of a model in GPU memory, stored as they are in the file.

/** Storage types of weights. Activations are always f32. */
export type ElementType = 'f32' | 'f16' | 'bf16';

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

/**
 * A vector of parameters (bias, LayerNorm scale), always widened to f32: they are small and read often. The buffer
 * is filled up with zeros to a multiple of 4 elements.
 */
export interface Vector {
  readonly name: string;
  readonly length: number;
  readonly buffer: GPUBuffer;
}
