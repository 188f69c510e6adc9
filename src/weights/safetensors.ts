// The safetensors format, read strictly: https://github.com/huggingface/safetensors#format
//
//   8 bytes   length N of the header, little-endian u64
//   N bytes   JSON object: tensor name → { dtype, shape, data_offsets: [begin, end] }, optional __metadata__
//   the rest  the tensors' values, row by row, without gaps; offsets count from here
//
// Whatever the reference implementation refuses is refused here too: a damaged download must not become a model.

import type { ByteSource } from './byte-source.ts';
import { DTYPES, type Dtype, dtypeBytes, isDtype } from './dtype.ts';
import { WeightsError } from './errors.ts';
import { parseJson } from './json.ts';
import { decodeUtf8 } from './utf8.ts';

/** Bytes; the reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
export const METADATA_KEY = '__metadata__';

export interface TensorInfo {
  readonly name: string;
  /** Name of the file that holds it, for messages. */
  readonly file: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes begin and end in the file. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsFile {
  readonly source: ByteSource;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks a file's header; no values.
 *
 * @throws WeightsError naming the file, the tensor, what was expected and what was found
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  if (source.size < 8)
    throw damaged(source, `has ${source.size} bytes, fewer than the 8 of a header's length`);
  const announced = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
  if (announced > MAX_HEADER_BYTES)
    throw damaged(source, `announces a header of ${announced} bytes; ${MAX_HEADER_BYTES} are allowed`);
  const length = Number(announced);
  if (length > source.size - 8)
    throw damaged(
      source,
      `announces a header of ${length} bytes and has ${source.size - 8} after its length`,
    );

  const { [METADATA_KEY]: metadata, ...entries } = parseHeader(source, await source.read(8, length));
  const infos = Object.entries(entries).map(([name, entry]) => readEntry(source, name, entry, 8 + length));
  infos.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(source, infos, 8 + length);
  return {
    source,
    tensors: new Map(infos.map((info) => [info.name, info])),
    metadata: readMetadata(source, metadata),
  };
}

/** Number of elements of a tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function parseHeader(source: ByteSource, bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw damaged(source, 'has a header that does not begin with "{"');
  try {
    return parseJson(decodeUtf8(bytes), { uniqueKeys: true }) as Record<string, unknown>;
  } catch (cause) {
    throw damaged(source, `has a header that is no JSON text: ${(cause as Error).message}`, cause);
  }
}

function readMetadata(source: ByteSource, metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  if (!isObject(metadata)) throw damaged(source, `has ${METADATA_KEY} ${show(metadata)}, expected an object`);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string')
      throw damaged(source, `has ${METADATA_KEY} ${show(key)}: ${show(value)}, expected a string`);
  }
  return metadata as Record<string, string>;
}

/** One tensor's entry, without regard to the others. */
function readEntry(source: ByteSource, name: string, entry: unknown, dataBegin: number): TensorInfo {
  const wrong = (problem: string) => damaged(source, `tensor ${show(name)}: ${problem}`);
  if (!isObject(entry)) throw wrong(`the header has ${show(entry)}, expected an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) throw wrong(`dtype ${show(dtype)}, expected one of ${DTYPES.join(', ')}`);
  if (!isCounts(shape)) throw wrong(`shape ${show(shape)}, expected a list of whole numbers from 0`);
  if (!isCounts(offsets) || offsets.length !== 2)
    throw wrong(`data_offsets ${show(offsets)}, expected two whole numbers from 0`);
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw wrong(`data_offsets ${show(offsets)}, expected the begin before the end`);
  let bytes = dtypeBytes(dtype);
  for (const size of shape) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes))
      throw wrong(`shape ${show(shape)} has more elements than can be counted`);
  }
  if (bytes !== end - begin)
    throw wrong(
      `${dtype} of shape ${show(shape)} has ${bytes} bytes, data_offsets ${show(offsets)} hold ${end - begin}`,
    );
  return { name, file: source.name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end };
}

/** Tensors, sorted by their place, must follow each other without gap or overlap and fill the file. */
function checkCoverage(source: ByteSource, infos: readonly TensorInfo[], dataBegin: number): void {
  let end = dataBegin;
  let previous = 'the header';
  for (const info of infos) {
    if (info.begin !== end)
      throw damaged(
        source,
        `tensor ${show(info.name)} begins at byte ${info.begin}, ` +
          `${info.begin > end ? 'behind a gap after' : 'inside'} ${previous}, which ends at byte ${end}`,
      );
    end = info.end;
    previous = `tensor ${show(info.name)}`;
  }
  if (end !== source.size)
    throw damaged(
      source,
      `has ${source.size} bytes, but ${previous} ends at byte ${end}; is the download complete?`,
    );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

/** A value of the header for a message, cut if long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function damaged(source: ByteSource, problem: string, cause?: unknown): WeightsError {
  return new WeightsError(`${source.name}: ${problem}`, { cause });
}
