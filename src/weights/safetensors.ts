// The safetensors format, read strictly: https://github.com/huggingface/safetensors#format
//
//   8 bytes   length N of the header, little-endian u64
//   N bytes   JSON object: tensor name → { dtype, shape, data_offsets: [begin, end] }, optional __metadata__
//   the rest  the tensors' values, row by row, without gaps; offsets count from here
//
// Accepted and refused is exactly what the reference implementation (the Rust crate `safetensors` 0.8) accepts and
// refuses, odd forms included: a damaged download must not become a model, and what others read is read here.

import type { ByteSource } from './byte-source.ts';
import { dtypeBytes, FILE_DTYPES, type FileDtype, isFileDtype } from './dtype.ts';
import { WeightsError } from './errors.ts';
import { JsonMembers, type JsonTree, jsonText, parseJsonTree } from './json.ts';
import { decodeUtf8 } from './utf8.ts';

/** Bytes; the reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
/** The reference counts in 64 bits. */
const MAX_COUNT = 2n ** 64n - 1n;
/** How a pointer's first line begins: "version https://git-lfs…". */
const GIT_LFS_POINTER = 'version ';
export const METADATA_KEY = '__metadata__';

export interface TensorInfo {
  readonly name: string;
  /** Name of the file that holds it, for messages. */
  readonly file: string;
  readonly dtype: FileDtype;
  /** A size beyond 2^53, which only a tensor without elements can have, is rounded. */
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
  const start = await source.read(0, 8);
  const announced = new DataView(start.buffer).getBigUint64(0, true);
  if (new TextDecoder().decode(start) === GIT_LFS_POINTER)
    throw damaged(
      source,
      'is a pointer of Git LFS in place of the file itself; get that with `git lfs pull`',
    );
  if (announced > MAX_HEADER_BYTES)
    throw damaged(source, `announces a header of ${announced} bytes; ${MAX_HEADER_BYTES} are allowed`);
  const length = Number(announced);
  if (length > source.size - 8)
    throw damaged(
      source,
      `announces a header of ${length} bytes and has ${source.size - 8} after its length`,
    );

  const { entries, metadata } = readHeader(source, await source.read(8, length));
  const dataBegin = 8 + length;
  const sorted = [...entries.values()].sort((a, b) => compare(a.begin, b.begin) || compare(a.end, b.end));
  checkCoverage(source, sorted, BigInt(dataBegin));
  const infos = sorted.map(({ name, dtype, shape, begin, end }) => ({
    name,
    file: source.name,
    dtype,
    shape: shape.map(Number),
    begin: dataBegin + Number(begin),
    end: dataBegin + Number(end),
  }));
  return { source, tensors: new Map(infos.map((info) => [info.name, info])), metadata };
}

/** Number of elements of a tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor's entry as it stands in the header. */
interface Entry {
  readonly name: string;
  readonly dtype: FileDtype;
  readonly shape: readonly bigint[];
  /** Counted from the end of the header. */
  readonly begin: bigint;
  readonly end: bigint;
}

/** Every member must be well-formed; of several with one name the last counts. */
function readHeader(source: ByteSource, bytes: Uint8Array) {
  let header: JsonTree;
  try {
    header = parseJsonTree(decodeUtf8(bytes, { keepMark: true }));
  } catch (cause) {
    throw damaged(source, `has a header that is no JSON text: ${(cause as Error).message}`, cause);
  }
  if (!(header instanceof JsonMembers))
    throw damaged(source, `has ${show(header)} for a header, expected an object`);
  const entries = new Map<string, Entry>();
  let metadata: Record<string, string> | undefined;
  for (const [name, value] of header.members) {
    if (name !== METADATA_KEY) entries.set(name, readEntry(source, name, value));
    else if (metadata) throw damaged(source, `has ${METADATA_KEY} twice`);
    else metadata = readMetadata(source, value);
  }
  return { entries, metadata: metadata ?? {} };
}

function readMetadata(source: ByteSource, metadata: JsonTree): Record<string, string> {
  if (metadata === null) return {};
  if (!(metadata instanceof JsonMembers))
    throw damaged(source, `has ${METADATA_KEY} ${show(metadata)}, expected an object`);
  return Object.fromEntries(
    metadata.members.map(([key, value]) => {
      if (typeof value !== 'string')
        throw damaged(source, `has ${METADATA_KEY} ${show(key)}: ${show(value)}, expected a string`);
      return [key, value];
    }),
  );
}

/** One tensor's entry, without regard to the others. */
function readEntry(source: ByteSource, name: string, entry: JsonTree): Entry {
  const wrong = (problem: string) => damaged(source, `tensor ${show(name)}: ${problem}`);
  const [dtypeField, shape, offsets] = entryFields(entry, wrong);
  const dtype = variantName(dtypeField);
  if (!isFileDtype(dtype))
    throw wrong(`dtype ${show(dtypeField)}, expected one of ${FILE_DTYPES.join(', ')}`);
  if (!isCounts(shape)) throw wrong(`shape ${show(shape)}, expected a list of whole numbers from 0`);
  if (!isCounts(offsets) || offsets.length !== 2)
    throw wrong(`data_offsets ${show(offsets)}, expected two whole numbers from 0`);
  const [begin, end] = offsets as [bigint, bigint];
  return { name, dtype, shape, begin, end };
}

const FIELDS = ['dtype', 'shape', 'data_offsets'];

/** The three fields of an entry, which serde takes from an object or, in their order, from a list. */
function entryFields(
  entry: JsonTree,
  wrong: (problem: string) => WeightsError,
): readonly (JsonTree | undefined)[] {
  if (Array.isArray(entry)) {
    if (entry.length === FIELDS.length) return entry;
    throw wrong(`the header has a list of ${entry.length}, expected ${FIELDS.join(', ')}`);
  }
  if (!(entry instanceof JsonMembers)) throw wrong(`the header has ${show(entry)}, expected an object`);
  return FIELDS.map((field) => {
    const values = entry.members.filter(([key]) => key === field);
    if (values.length > 1) throw wrong(`${field} stands twice`);
    return values[0]?.[1];
  });
}

/** serde writes an enum's variant as "F32", and also reads it as {"F32": null}. */
function variantName(value: JsonTree | undefined): JsonTree | undefined {
  if (!(value instanceof JsonMembers) || value.members.length !== 1) return value;
  const [name, content] = value.members[0]!;
  return content === null ? name : value;
}

/** Tensors, sorted by their place, must follow each other without gap or overlap, fill the file, and fit their places. */
function checkCoverage(source: ByteSource, entries: readonly Entry[], dataBegin: bigint): void {
  let end = 0n;
  let previous = 'the header';
  for (const entry of entries) {
    if (entry.begin !== end)
      throw damaged(
        source,
        `tensor ${show(entry.name)} begins at byte ${dataBegin + entry.begin}, ` +
          `${entry.begin > end ? 'behind a gap after' : 'inside'} ${previous}, which ends at byte ${dataBegin + end}`,
      );
    checkSize(source, entry);
    end = entry.end;
    previous = `tensor ${show(entry.name)}`;
  }
  if (dataBegin + end !== BigInt(source.size))
    throw damaged(
      source,
      `has ${source.size} bytes, but ${previous} ends at byte ${dataBegin + end}; is the download complete?`,
    );
}

/** A tensor's bytes must be those that its shape takes. */
function checkSize(source: ByteSource, { name, dtype, shape, begin, end }: Entry): void {
  const wrong = (problem: string) => damaged(source, `tensor ${show(name)}: ${problem}`);
  const places = `[${begin},${end}]`;
  if (begin > end) throw wrong(`data_offsets ${places}, expected the begin before the end`);
  let bits = 1n;
  for (const factor of [...shape, BigInt(8 * dtypeBytes(dtype))]) {
    bits *= factor;
    if (bits > MAX_COUNT) throw wrong(`shape ${show(shape)} has more elements than can be counted`);
  }
  if (bits % 8n !== 0n)
    throw wrong(`${dtype} of shape ${show(shape)} has ${bits} bits, which do not fill bytes`);
  if (bits / 8n !== end - begin)
    throw wrong(
      `${dtype} of shape ${show(shape)} has ${bits / 8n} bytes, data_offsets ${places} hold ${end - begin}`,
    );
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isCounts(value: JsonTree | undefined): value is bigint[] {
  return Array.isArray(value) && value.every((count) => typeof count === 'bigint' && count >= 0n);
}

/** A value of the header for a message, cut if long. */
function show(value: JsonTree | undefined): string {
  const text = value === undefined ? 'nothing' : jsonText(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function damaged(source: ByteSource, problem: string, cause?: unknown): WeightsError {
  return new WeightsError(`${source.name}: ${problem}`, { cause });
}
