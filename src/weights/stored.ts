// A tensor's bytes in a file as the values that are stored in GPU memory.

import type { ElementType } from '../kernels/index.ts';
import { type Dtype, type FileDtype, f32ToBf16, f32ToF16, viewAs } from './dtype.ts';
import { WeightsError } from './errors.ts';
import type { TensorInfo } from './safetensors.ts';
import { asFloat32, type HostTensor } from './tensors.ts';

/** How the float types of files are stored unless a type is asked for. */
const STORED_AS: Partial<Record<FileDtype, ElementType>> = {
  F32: 'f32',
  F64: 'f32',
  F16: 'f16',
  BF16: 'bf16',
};
/** Infinity's bits. */
const INFINITY = { f16: 0x7c00, bf16: 0x7f80 };

/** Values as they lie in GPU memory; the half types as their 16 bits. */
export type StoredArray = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** @throws WeightsError if the tensor is not of a float type */
export function storageType({ name, file, dtype }: TensorInfo): ElementType {
  const type = STORED_AS[dtype];
  if (!type) throw new WeightsError(`${file}: tensor "${name}" is ${dtype}, expected F32, F16, BF16 or F64`);
  return type;
}

/** A tensor's bytes in the storage type. What is stored as it is keeps every bit. */
export function convert(
  { name, file, dtype }: TensorInfo,
  bytes: Uint8Array<ArrayBuffer>,
  type: ElementType,
): StoredArray {
  if (dtype === type.toUpperCase()) return viewAs(dtype as 'F32' | 'F16' | 'BF16', bytes);
  const data = viewAs(dtype as Dtype, bytes);
  const values = asFloat32({ dtype, shape: [], data } as unknown as HostTensor, name);
  if (type === 'f32') return values;
  const halves = type === 'f16' ? f32ToF16(values) : f32ToBf16(values);
  const infinity = INFINITY[type];
  for (let i = 0; i < halves.length; i++) {
    if ((halves[i]! & 0x7fff) === infinity && Number.isFinite(values[i]))
      throw new WeightsError(
        `${file}: tensor "${name}" holds ${values[i]}, which is too large for ${type}. Load the model as f32.`,
      );
  }
  return halves;
}

/**
 * A function that moves rows of `columns` elements apart to every `stride` elements, zeros between. Its result is
 * overwritten by its next call: a new array for each chunk would be that much more waiting to be collected.
 */
export function rowPadder(columns: number, stride: number): (values: StoredArray) => StoredArray {
  if (stride === columns) return (values) => values;
  let room: StoredArray | undefined;
  return (values) => {
    const rows = values.length / columns;
    if (!room || room.length < rows * stride)
      room =
        values instanceof Float32Array ? new Float32Array(rows * stride) : new Uint16Array(rows * stride);
    for (let row = 0; row < rows; row++)
      room.set(values.subarray(row * columns, (row + 1) * columns), row * stride);
    return room.subarray(0, rows * stride);
  };
}

/** Filled up to a multiple of 4 bytes, which is what can be written to a buffer. */
export function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0) return bytes;
  const words = new Uint8Array(4 * Math.ceil(bytes.length / 4));
  words.set(bytes);
  return words;
}
