// Operands of kernel tests on the GPU.

import { expect } from 'vitest';
import { ShapeError } from '../../src/errors.ts';
import type { Tensor, Work } from '../../src/gpu/index.ts';
import { ELEMENT_BYTES, type ElementType, type Vector, type Weight } from '../../src/kernels/index.ts';
import { f32ToBf16, f32ToF16 } from '../../src/weights/index.ts';
import { flatten, type Matrix, roundToBf16, roundToF16 } from '../reference/index.ts';

/** Kernels have a variant for each of these. */
export const DEVICES = [
  ['the default device', {}],
  ['a device without subgroups', { subgroups: false }],
  ['a device without immediates', { immediates: false }],
  ['a device that is taken for a GPU', { deviceClass: 'gpu' }],
] as const;

/** Half the distance between 1 and the next f32: the largest relative error of one rounding. */
export const EPSILON = 2 ** -24;

/**
 * An activation of x is off by at most this much of |x|. The polynomial of Abramowitz and Stegun 7.1.26 is 0.75e-7 off
 * Φ, its evaluation in f32 loses about 1.5e-7, and WGSL allows exp an error of (3 + 2 |x|) ulp, which counts fully only
 * near 0. Measured: 2.7e-7 for gelu, 1.2e-7 for quick_gelu and silu. Of tanh gelu, u and exp together are off by as much.
 */
export const ACTIVATION_ERROR = 5e-7;

export function upload(w: Work, x: Matrix): Tensor {
  return w.upload(Float32Array.from(flatten(x)), x.length, x[0]!.length, 'x');
}

/** Margins of a window of columns in a wider tensor, in elements and rows. */
export interface Margins {
  readonly left: number;
  readonly right: number;
  readonly above: number;
}

/** The values of `x` in the middle of NaN. */
export function framed(x: Matrix, { left, right, above }: Margins): Float32Array<ArrayBuffer> {
  const stride = left + x[0]!.length + right;
  const frame = new Float32Array((above + x.length + 1) * stride).fill(Number.NaN);
  x.forEach((row, r) => {
    frame.set(row, (above + r) * stride + left);
  });
  return frame;
}

/** A window that holds `x`. Everything around it is NaN, so that a read beside it cannot go unnoticed. */
export function uploadWindow(w: Work, x: Matrix, margins: Margins): Tensor {
  const { left, right, above } = margins;
  const columns = x[0]!.length;
  const stride = left + columns + right;
  const { buffer } = w.upload(framed(x, margins), above + x.length + 1, stride, 'window');
  return { buffer, rows: x.length, columns, stride, offset: above * stride + left };
}

/** All that {@link uploadWindow} uploaded, to see that nothing around the window was written. */
export function around(window: Tensor, { left, above }: Margins): Tensor {
  const offset = window.offset - above * window.stride - left;
  return { ...window, rows: above + window.rows + 1, columns: window.stride, offset };
}

const ROUND: Readonly<Record<ElementType, (value: number) => number>> = {
  f32: Math.fround,
  f16: roundToF16,
  bf16: roundToBf16,
};
const ENCODE = {
  f32: (values: Float32Array) => values,
  f16: f32ToF16,
  bf16: f32ToBf16,
} as const;

/** The values that a weight of this type holds. */
export function stored(x: Matrix, type: ElementType): Matrix {
  return type === 'f32' ? x : x.map((row) => Float32Array.from(row, ROUND[type]));
}

/** A weight in parts of `partRows` rows each; their sum must be the number of rows. */
export function uploadWeight(
  w: Work,
  x: Matrix,
  type: ElementType = 'f32',
  partRows: readonly number[] = [x.length],
): Weight {
  const columns = x[0]!.length;
  const stride = 4 * Math.ceil(columns / 4);
  let firstRow = 0;
  const parts = partRows.map((rows) => {
    const values = new Float32Array(rows * stride);
    for (let r = 0; r < rows; r++) values.set(x[firstRow + r]!, r * stride);
    const encoded = ENCODE[type](values);
    const words = new Uint32Array(encoded.buffer, 0, (values.length * ELEMENT_BYTES[type]) / 4);
    const part = { buffer: w.uploadWords(words, 'weight'), firstRow, rows };
    firstRow += rows;
    return part;
  });
  if (firstRow !== x.length) throw new Error(`parts of ${partRows} rows do not make up ${x.length}`);
  return { name: 'weight', type, rows: x.length, columns, stride, parts };
}

export function uploadVector(w: Work, values: ArrayLike<number>): Vector {
  const padded = new Float32Array(4 * Math.ceil(values.length / 4));
  padded.set(values);
  return { name: 'vector', length: values.length, buffer: w.uploadWords(padded, 'vector') };
}

/** Fails unless each call throws a ShapeError whose message matches. */
export function expectShapeErrors(calls: readonly (readonly [() => unknown, RegExp])[]): void {
  for (const [call, message] of calls) {
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  }
}

/** A tensor's values, row after row. */
export async function read(w: Work, tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
  const [values] = await w.read(tensor);
  return values!;
}
