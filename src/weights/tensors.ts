// Named tensors in host memory and their files: inputs and outputs of the command line, golden data of tests.
// Written as the reference implementation does, so that equal tensors give equal files.

import type { ByteSource } from './byte-source.ts';
import {
  bf16ToF32,
  DTYPES,
  type Dtype,
  type DtypeArrays,
  dtypeBytes,
  f16ToF32,
  isDtype,
  viewAs,
} from './dtype.ts';
import { WeightsError } from './errors.ts';
import { elementCount, METADATA_KEY, openSafetensors } from './safetensors.ts';

/** A tensor in host memory, row by row. `data` has the array type of `dtype`; F16 and BF16 are 16-bit patterns. */
export type HostTensor = {
  [D in Dtype]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: DtypeArrays[D] };
}[Dtype];

/**
 * The values as f32. F16 and BF16 are widened exactly, F64 is rounded, F32 is returned as it is (not copied).
 *
 * @throws WeightsError naming the tensor for every other type
 */
export function asFloat32(tensor: HostTensor, name: string): Float32Array<ArrayBuffer> {
  switch (tensor.dtype) {
    case 'F32':
      return tensor.data;
    case 'F64':
      return new Float32Array(tensor.data);
    case 'F16':
      return f16ToF32(tensor.data);
    case 'BF16':
      return bf16ToF32(tensor.data);
    default:
      throw new WeightsError(`tensor "${name}" is ${tensor.dtype}, expected F32, F16, BF16 or F64`);
  }
}

/**
 * Reads the tensors of a safetensors file whose names pass `filter`; without one, all.
 *
 * @throws WeightsError as {@link openSafetensors} does
 */
export async function readTensors(
  source: ByteSource,
  filter: (name: string) => boolean = () => true,
): Promise<Map<string, HostTensor>> {
  const { tensors } = await openSafetensors(source);
  const result = new Map<string, HostTensor>();
  for (const { name, file, dtype, shape, begin, end } of tensors.values()) {
    if (!filter(name)) continue;
    if (!isDtype(dtype)) throw new WeightsError(`${file}: tensor "${name}" is ${dtype}, which is not read`);
    const data = viewAs(dtype, await source.read(begin, end - begin));
    result.set(name, { dtype, shape, data } as HostTensor);
  }
  return result;
}

/** A tensor to be written whose values are made when it is their turn. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  data(): DtypeArrays[Dtype] | Promise<DtypeArrays[Dtype]>;
}

/**
 * A safetensors file piece by piece: the header, then each tensor's values, asked for one tensor at a time.
 * `fs.writeFile` takes it as it is. Tensors are ordered by alignment, largest first, then by name.
 *
 * @throws WeightsError for a name that stands twice or is reserved, and for values that do not fit dtype and shape
 */
export async function* safetensorsChunks(
  entries: Iterable<TensorEntry>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const sorted = sortEntries(entries);
  yield encodeHeader(sorted, metadata);
  for (const entry of sorted) yield bytesOf(entry, await entry.data());
}

/** A whole safetensors file in memory; the same bytes as {@link safetensorsChunks} gives. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = sortEntries(Array.from(tensors, ([name, tensor]) => ({ name, ...tensor })));
  const chunks = [encodeHeader(sorted, metadata), ...sorted.map((entry) => bytesOf(entry, entry.data))];
  const file = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.length;
  }
  return file;
}

type Described = Pick<TensorEntry, 'name' | 'dtype' | 'shape'>;

function sortEntries<E extends Described>(entries: Iterable<E>): E[] {
  const rank = ({ dtype }: E) => DTYPES.indexOf(dtype);
  const sorted = [...entries].sort((a, b) => rank(b) - rank(a) || (a.name < b.name ? -1 : 1));
  const seen = new Set<string>([METADATA_KEY]);
  for (const { name, dtype, shape } of sorted) {
    if (seen.has(name)) throw new WeightsError(`tensor name "${name}" stands twice, or is reserved`);
    seen.add(name);
    if (!isDtype(dtype))
      throw new WeightsError(
        `tensor "${name}" has dtype ${String(dtype)}, expected one of ${DTYPES.join(', ')}`,
      );
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0))
      throw new WeightsError(
        `tensor "${name}" has shape [${shape.join(', ')}], expected whole numbers from 0`,
      );
  }
  return sorted;
}

/** Length and JSON; the JSON is filled up with spaces so that values begin at a multiple of 8. */
function encodeHeader(
  entries: readonly Described[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  // Put together by hand: an object would move names that look like numbers to the front.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0)
    fields.push(`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(metadata)}`);
  let end = 0;
  for (const { name, dtype, shape } of entries) {
    const begin = end;
    end += elementCount(shape) * dtypeBytes(dtype);
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

function bytesOf({ name, dtype, shape }: Described, data: DtypeArrays[Dtype]): Uint8Array<ArrayBuffer> {
  const expected = viewAs(dtype, new Uint8Array(0)).constructor;
  if (data.constructor !== expected || data.length !== elementCount(shape))
    throw new WeightsError(
      `tensor "${name}" has ${data.length} values in a ${data.constructor.name}; ` +
        `${dtype} of shape [${shape.join(', ')}] needs ${elementCount(shape)} in a ${expected.name}`,
    );
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
