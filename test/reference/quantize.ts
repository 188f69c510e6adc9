// Quantisation by its definition, in f64 where the definition does not say f32.

import { roundHalfToEven } from './half.ts';
import type { Matrix } from './matrix.ts';

/** Table 4 of the QLoRA paper (arXiv 2305.14314, appendix E). */
export const NF4_CODE = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
].map(Math.fround);

export interface Quantized {
  readonly codes: Int8Array;
  readonly scales: Float32Array;
  readonly values: Float32Array;
}

/** (a + b) / 2 of neighbouring codes, rounded to f32: bitsandbytes' bounds between them. */
const BOUNDS = NF4_CODE.slice(1).map((code, i) => Math.fround((NF4_CODE[i]! + code) / 2));

/** NF4 of a flattened tensor as bitsandbytes makes it: blocks of 64, each scaled by 1 / absmax in f32. */
export function nf4(x: ArrayLike<number>): Quantized {
  const codes = new Int8Array(x.length);
  const values = new Float32Array(x.length);
  const scales = new Float32Array(Math.ceil(x.length / 64));
  for (let b = 0; b < scales.length; b++) {
    const block = Array.from({ length: Math.min(64, x.length - 64 * b) }, (_, i) => x[64 * b + i]!);
    const absmax = Math.max(...block.map(Math.abs));
    scales[b] = absmax;
    const inverse = absmax === 0 ? 0 : Math.fround(1 / absmax);
    block.forEach((value, i) => {
      const scaled = Math.fround(value * inverse);
      const code = BOUNDS.filter((bound) => scaled > bound).length; // at a bound the lower
      codes[64 * b + i] = code;
      values[64 * b + i] = Math.fround(NF4_CODE[code]! * absmax);
    });
  }
  return { codes, scales, values };
}

/** int8 of rows: scale absmax / 127 in f32, quotient rounded to nearest, ties to even. */
export function int8(rows: Matrix): Quantized {
  const scales = Float32Array.from(rows, (row) => Math.max(...Array.from(row, Math.abs)) / 127);
  const codes = Int8Array.from(
    rows.flatMap((row, r) =>
      Array.from(row, (value) => (scales[r] === 0 ? 0 : roundHalfToEven(Math.fround(value / scales[r]!)))),
    ),
  );
  const columns = codes.length / rows.length;
  const values = Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / columns)]!);
  return { codes, scales, values };
}
