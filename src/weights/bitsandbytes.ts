// Linear layers that bitsandbytes has quantised, as `Linear4bit` and transformers save them: beside the packed `weight`
// there are `weight.absmax`, `weight.quant_map` and `weight.quant_state.bitsandbytes__nf4`, a JSON text; with double
// quantisation, where absmax is itself quantised, `weight.nested_absmax` and `weight.nested_quant_map`, too.

import {
  blockRows,
  CODES_PER_WORD,
  type ElementType,
  NF4_BLOCK,
  type QuantizedType,
  scaleCount,
} from '../kernels/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { viewAs } from './dtype.ts';
import { WeightsError } from './errors.ts';
import { parseJson } from './json.ts';
import { elementCount, type TensorInfo } from './safetensors.ts';
import { decodeUtf8 } from './utf8.ts';

const STATE = '.quant_state.bitsandbytes__';
/** The state of a layer has some 200 bytes. */
const MAX_STATE_BYTES = 64 * 1024;
const FLOATS: readonly unknown[] = ['float32', 'float16', 'bfloat16'];
/** Two codes of a row's end that stand for zeros. */
const ZEROS = 0x77;

/** NF4's values by code, as every file repeats them (`quantized_values.wgsl` has them for the device). */
const NF4_VALUES = Float32Array.of(
  ...[-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
  ...[-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725],
  ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941],
  ...[0.7229568362236023, 1.0],
);

/** A quantised layer's tensors, with the shape that its weight has. */
export interface PackedLinear extends TensorInfo {
  /** Elements that share an absmax. */
  readonly blockSize: number;
  readonly nested?: { readonly blockSize: number; readonly offset: number };
}

/** A tensor of floats, or one that the file holds quantised. */
export type LinearInfo = TensorInfo | PackedLinear;

/** @throws WeightsError as {@link packedLinear} does, and if there is no such tensor */
export async function linearInfo(checkpoint: Checkpoint, name: string): Promise<LinearInfo> {
  return isPacked(checkpoint, name) ? packedLinear(checkpoint, name) : checkpoint.info(name);
}

export function inFile(info: LinearInfo): info is PackedLinear {
  return 'blockSize' in info;
}

/**
 * The storage type of tensors that are joined, of which the file holds at least one quantised.
 *
 * @param asked undefined: as in the file
 * @throws WeightsError unless it can be NF4
 */
export function packedType(
  infos: readonly LinearInfo[],
  asked: ElementType | QuantizedType | undefined,
): 'nf4' {
  const packed = infos.find(inFile)!;
  if (asked !== undefined && asked !== 'nf4')
    refusal(packed)(
      `was quantised to nf4 by bitsandbytes and cannot be loaded as ${asked}. Load the model as it is in the file.`,
    );
  const floats = infos.find((info) => !inFile(info));
  if (asked === undefined && floats)
    refusal(packed)(
      `was quantised by bitsandbytes, "${floats.name}", which is joined with it, was not. Load the model as nf4.`,
    );
  return 'nf4';
}

/** Whether bitsandbytes has quantised this tensor to four bits. */
export function isPacked(checkpoint: Checkpoint, name: string): boolean {
  return ['nf4', 'fp4'].some((type) => checkpoint.has(name + STATE + type));
}

/** Whether it has quantised any of the checkpoint's layers. */
export function hasPacked(checkpoint: Checkpoint): boolean {
  return checkpoint.names.some((name) => name.includes(STATE));
}

/**
 * What a packed tensor's state says; neither codes nor absmax are read.
 *
 * @throws WeightsError naming the tensor if it is damaged, or quantised in a way that is not computed with
 */
async function packedLinear(checkpoint: Checkpoint, name: string): Promise<PackedLinear> {
  const info = checkpoint.info(name);
  const refuse = refusal(info);
  if (!checkpoint.has(`${name}${STATE}nf4`)) refuse('was quantised to fp4 by bitsandbytes; nf4 is supported');
  const state = await readState(checkpoint, `${name}${STATE}nf4`);
  const { quant_type: type, blocksize: blockSize, dtype, shape } = state;
  if (type !== 'nf4') refuse(`has quant_type ${JSON.stringify(type)}; nf4 is supported`);
  if (!FLOATS.includes(dtype))
    refuse(`has dtype ${JSON.stringify(dtype)}, expected one of ${FLOATS.join(', ')}`);
  if (!isCount(blockSize) || blockSize % NF4_BLOCK !== 0)
    refuse(`has blocksize ${JSON.stringify(blockSize)}; multiples of ${NF4_BLOCK} are supported`);
  if (!Array.isArray(shape) || shape.length !== 2 || !shape.every(isCount))
    refuse(`has shape ${JSON.stringify(shape)}, expected [out features, in features]`);
  const size = elementCount(shape as number[]);
  const blocks = Math.ceil(size / (blockSize as number));
  expectTensor(info, 'U8', Math.ceil(size / 2));
  expectTensor(checkpoint.info(`${name}.quant_map`), 'F32', NF4_VALUES.length);
  const packed = { ...info, shape: shape as number[], blockSize: blockSize as number };
  const absmax = checkpoint.info(`${name}.absmax`);
  if (!checkpoint.has(`${name}.nested_absmax`)) {
    expectTensor(absmax, 'F32', blocks);
    return packed;
  }
  const { nested_blocksize: nestedSize, nested_offset: offset } = state;
  if (!isCount(nestedSize))
    refuse(`has nested_blocksize ${JSON.stringify(nestedSize)}, expected a whole number`);
  if (typeof offset !== 'number') refuse(`has nested_offset ${JSON.stringify(offset)}, expected a number`);
  expectTensor(absmax, 'U8', blocks);
  expectTensor(checkpoint.info(`${name}.nested_absmax`), 'F32', Math.ceil(blocks / (nestedSize as number)));
  expectTensor(checkpoint.info(`${name}.nested_quant_map`), 'F32', 256);
  return { ...packed, nested: { blockSize: nestedSize as number, offset: offset as number } };
}

/**
 * The absmax of each 64 elements of a packed tensor. One that is quantised itself is computed in f32, as bitsandbytes
 * does: value · absmax of its block, plus the offset.
 *
 * @throws WeightsError if the table of values is not NF4's, or an absmax is not finite
 */
export async function packedScales(
  checkpoint: Checkpoint,
  { blockSize, nested, ...info }: PackedLinear,
): Promise<Float32Array<ArrayBuffer>> {
  const floats = async (part: string) => viewAs('F32', await readAll(checkpoint, `${info.name}.${part}`));
  const refuse = refusal(info);
  const values = await floats('quant_map');
  if (values.some((value, code) => value !== NF4_VALUES[code])) refuse("has a quant_map that is not NF4's");
  let absmax: Float32Array;
  if (nested) {
    const codes = await readAll(checkpoint, `${info.name}.absmax`);
    const [map, scales] = [await floats('nested_quant_map'), await floats('nested_absmax')];
    const offset = Math.fround(nested.offset);
    absmax = Float32Array.from(
      codes,
      (code, i) => Math.fround(map[code]! * scales[Math.floor(i / nested.blockSize)]!) + offset,
    );
  } else absmax = await floats('absmax');
  if (!absmax.every(Number.isFinite)) refuse('has an absmax that is not finite');
  const count = scaleCount('nf4', elementCount(info.shape), 1);
  return Float32Array.from({ length: count }, (_, i) => absmax[Math.floor((NF4_BLOCK * i) / blockSize)]!);
}

/** A packed tensor's codes as the kernels read them, whole rows at a time; the last rows may be fewer. */
export async function* packedRows(checkpoint: Checkpoint, { name, shape }: PackedLinear, maxBytes: number) {
  const [rows, columns] = shape as [number, number];
  const together = blockRows('nf4', columns); // their codes are whole bytes
  const step = Math.max(1, Math.floor((2 * maxBytes) / (columns * together))) * together;
  for await (const { offset, bytes } of checkpoint.chunks(name, (step * columns) / 2)) {
    const row = (2 * offset) / columns;
    yield { row, codes: spreadCodes(bytes, Math.min(step, rows - row), columns) };
  }
}

/** Codes of whole rows, two in a byte without gaps, moved apart so that every row begins with a word. */
function spreadCodes(codes: Uint8Array<ArrayBuffer>, rows: number, columns: number): Uint8Array<ArrayBuffer> {
  if (columns % CODES_PER_WORD.nf4 === 0) return codes;
  const rowBytes = 4 * Math.ceil(columns / CODES_PER_WORD.nf4);
  const spread = new Uint8Array(rows * rowBytes).fill(ZEROS);
  const code = (i: number) => (codes[i >> 1]! >> (i % 2 === 0 ? 4 : 0)) & 15;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column += 2) {
      const i = row * columns + column;
      spread[row * rowBytes + column / 2] =
        (code(i) << 4) | (column + 1 < columns ? code(i + 1) : ZEROS & 15);
    }
  return spread;
}

async function readState(checkpoint: Checkpoint, name: string): Promise<Readonly<Record<string, unknown>>> {
  const info = checkpoint.info(name);
  if (info.end - info.begin > MAX_STATE_BYTES) refusal(info)(`has more than ${MAX_STATE_BYTES} bytes`);
  try {
    const state = parseJson(decodeUtf8(await readAll(checkpoint, name)));
    if (typeof state === 'object' && state !== null) return state as Readonly<Record<string, unknown>>;
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
  }
  return refusal(info)('is not a JSON object');
}

async function readAll(checkpoint: Checkpoint, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const { begin, end } = checkpoint.info(name);
  for await (const { bytes } of checkpoint.chunks(name, Math.max(1, end - begin))) return bytes;
  return new Uint8Array();
}

function expectTensor(info: TensorInfo, dtype: 'U8' | 'F32', count: number): void {
  if (info.dtype !== dtype || elementCount(info.shape) !== count)
    refusal(info)(`is ${info.dtype} [${info.shape.join(', ')}], expected ${count} elements of ${dtype}`);
}

function refusal({ file, name }: TensorInfo): (what: string) => never {
  return (what) => {
    throw new WeightsError(`${file}: tensor "${name}" ${what}`);
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
