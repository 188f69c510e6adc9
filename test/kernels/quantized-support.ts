// Quantised operands of kernel tests.

import type { Work } from '../../src/gpu/index.ts';
import {
  CODES_PER_WORD,
  type ElementType,
  type QuantizedType,
  type QuantizedWeight,
  quantize,
  scaleCount,
} from '../../src/kernels/index.ts';
import { f32ToBf16, f32ToF16 } from '../../src/weights/index.ts';
import type { Matrix } from '../reference/index.ts';

const ENCODE = { f32: (values: Float32Array) => values, f16: f32ToF16, bf16: f32ToBf16 } as const;

export interface QuantizedOptions {
  /** How the file has it. */
  readonly stored?: ElementType;
  /** Rows of each part; their sum must be the number of rows. */
  readonly partRows?: readonly number[];
  /** Rows that are quantised at a time. */
  readonly portion?: number;
  /** Becomes 1 if a value is not finite. */
  readonly refused?: GPUBuffer;
}

/** A weight that the device has quantised. */
export function uploadQuantized(
  w: Work,
  x: Matrix,
  type: QuantizedType,
  { stored = 'f32', partRows = [x.length], portion = x.length, refused }: QuantizedOptions = {},
): QuantizedWeight {
  const columns = x[0]!.length;
  const unit = CODES_PER_WORD[type];
  const stride = unit * Math.ceil(columns / unit);
  const flag = refused ?? w.uploadWords(new Uint32Array(1), 'refused');
  let firstRow = 0;
  const parts = partRows.map((rows) => {
    const part = {
      buffer: w.uploadWords(new Uint32Array((rows * stride) / unit).fill(0xdeadbeef), 'codes'),
      scales: w.uploadWords(new Float32Array(scaleCount(type, rows, columns)).fill(Number.NaN), 'scales'),
      firstRow,
      rows,
    };
    for (let first = 0; first < rows; first += portion) {
      const here = x.slice(firstRow + first, firstRow + Math.min(first + portion, rows));
      const values = ENCODE[stored](Float32Array.from(here.flatMap((row) => Array.from(row))));
      const bytes = new Uint8Array(4 * Math.ceil(values.byteLength / 4));
      bytes.set(new Uint8Array(values.buffer));
      const buffer = w.uploadWords(bytes, 'file');
      quantize(w, { buffer, type: stored, rows: here.length }, { type, columns, stride }, part, first, flag);
      w.release(buffer);
    }
    firstRow += rows;
    return part;
  });
  if (firstRow !== x.length) throw new Error(`parts of ${partRows} rows do not make up ${x.length}`);
  return { name: 'weight', type, rows: x.length, columns, stride, parts };
}

/** Codes row by row without padding (NF4: 0 to 15, int8: −127 to 127), and scales, part after part. */
export async function readQuantized(w: Work, { type, columns, stride, parts }: QuantizedWeight) {
  const codes: number[] = [];
  const padding: number[] = [];
  const scales: number[] = [];
  for (const part of parts) {
    const bytes = await readBytes(w, part.buffer, (4 * part.rows * stride) / CODES_PER_WORD[type]);
    for (let row = 0; row < part.rows; row++)
      for (let column = 0; column < stride; column++) {
        const i = row * stride + column;
        const code = type === 'int8' ? (bytes[i]! << 24) >> 24 : (bytes[i >> 1]! >> (i % 2 ? 0 : 4)) & 15;
        (column < columns ? codes : padding).push(code);
      }
    const scaleBytes = await readBytes(w, part.scales, 4 * scaleCount(type, part.rows, columns));
    scales.push(...new Float32Array(scaleBytes.buffer));
  }
  return { codes: Int8Array.from(codes), padding, scales: Float32Array.from(scales) };
}

async function readBytes(w: Work, buffer: GPUBuffer, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const [words] = await w.read({ buffer, rows: 1, columns: bytes / 4, stride: bytes / 4, offset: 0 });
  return new Uint8Array(words!.buffer);
}
