// Streams a checkpoint's tensors into GPU buffers: read, convert, pad, write, a few MiB at a time, so that host
// memory does not depend on the size of the model or of its largest tensor.

import type { Gpu } from '../gpu/index.ts';
import {
  ELEMENT_BYTES,
  type ElementType,
  type Vector,
  type Weight,
  type WeightPart,
} from '../kernels/weight.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type Dtype, dtypeBytes, f32ToBf16, f32ToF16, viewAs } from './dtype.ts';
import { WeightsError } from './errors.ts';
import { elementCount, type TensorInfo } from './safetensors.ts';
import { asFloat32, type HostTensor } from './tensors.ts';

/** The most that is read at once, counted in f32; a single row may be larger. */
const CHUNK_BYTES = 4 * 1024 * 1024;
/** `queue.writeBuffer` copies; after this many bytes the queue is drained, or the copies would pile up. */
const DRAIN_BYTES = 8 * 1024 * 1024;
const USAGE = 0x80 | 0x08 | 0x04; // GPUBufferUsage.STORAGE | COPY_DST | COPY_SRC; the global is absent in Node

/** How the float types of files are stored unless a type is asked for. */
const STORED_AS: Partial<Record<Dtype, ElementType>> = { F32: 'f32', F64: 'f32', F16: 'f16', BF16: 'bf16' };
/** Infinity's bits. */
const INFINITY = { f16: 0x7c00, bf16: 0x7f80 };

/** Values as they lie in GPU memory; the half types as their 16 bits. */
type StoredArray = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

export interface WeightLoaderOptions {
  /**
   * Storage type of all matrices. Default: as in the file (F64 becomes f32; tensors of different types that are
   * joined into one matrix become f32).
   */
  readonly type?: ElementType;
  /** Bytes after which a matrix is split into parts. Default: the device's largest storage buffer. */
  readonly maxPartBytes?: number;
}

/**
 * Loads weights one after another. A device that runs out of memory says so in the call during which it did, or at
 * the next `gpu.read`.
 */
export class WeightLoader {
  readonly #gpu: Gpu;
  readonly #checkpoint: Checkpoint;
  readonly #type: ElementType | undefined;
  readonly #maxPartBytes: number;
  readonly #buffers: GPUBuffer[] = [];
  #undrained = 0;

  constructor(gpu: Gpu, checkpoint: Checkpoint, options: WeightLoaderOptions = {}) {
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities.limits;
    this.#gpu = gpu;
    this.#checkpoint = checkpoint;
    this.#type = options.type;
    this.#maxPartBytes = Math.min(
      options.maxPartBytes ?? Number.POSITIVE_INFINITY,
      maxStorageBufferBindingSize,
      maxBufferSize,
    );
  }

  /** Bytes of GPU memory that all weights loaded so far take. */
  get bytes(): number {
    return this.#buffers.reduce((sum, buffer) => sum + buffer.size, 0);
  }

  /**
   * A matrix [rows, columns]. Several tensors are joined by rows (query, key and value of one block, for example).
   * A tensor counts as a matrix if its last dimensions multiply to `columns`, so a convolution's [out, in, y, x] is
   * one of in · y · x columns.
   *
   * @throws WeightsError if a tensor is missing, of another shape, not of a float type, or if a finite value does
   *   not fit the storage type
   */
  async matrix(
    names: string | readonly string[],
    { rows, columns }: { rows: number; columns: number },
  ): Promise<Weight> {
    const infos = [names].flat().map((name) => this.#checkpoint.info(name));
    checkMatrix(infos, rows, columns);
    const stored = new Set(infos.map(storageType));
    const type = this.#type ?? (stored.size === 1 ? [...stored][0]! : 'f32');
    const stride = 4 * Math.ceil(columns / 4);
    const name = infos.map((info) => info.name).join(' + ');
    const parts = this.#allocate(name, rows, stride * ELEMENT_BYTES[type]);
    const pad = rowPadder(columns, stride);
    const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / (4 * columns)));
    let row = 0;
    for (const info of infos) {
      const rowBytes = columns * dtypeBytes(info.dtype);
      for await (const { bytes } of this.#checkpoint.chunks(info.name, rowsAtOnce * rowBytes)) {
        await this.#writeRows(parts, row, stride, pad(convert(info, bytes, type)));
        row += bytes.length / rowBytes;
      }
    }
    return { name, type, rows, columns, stride, parts };
  }

  /**
   * A vector of `length` elements, widened to f32. Several tensors are joined end to end.
   *
   * @throws WeightsError if a tensor is missing, has more than one dimension other than 1, is not of a float type,
   *   or if their lengths do not add up
   */
  async vector(names: string | readonly string[], length: number): Promise<Vector> {
    const infos = [names].flat().map((name) => this.#checkpoint.info(name));
    infos.forEach(storageType);
    const flat = infos.every((info) => info.shape.filter((size) => size !== 1).length <= 1);
    if (!flat || sum(infos.map((info) => elementCount(info.shape))) !== length || length === 0)
      throw misfit(infos, `a vector of ${length} elements`);
    const name = infos.map((info) => info.name).join(' + ');
    const buffer = this.#createBuffer(16 * Math.ceil(length / 4), name);
    let at = 0;
    for (const info of infos) {
      for await (const { bytes } of this.#checkpoint.chunks(info.name, CHUNK_BYTES)) {
        const values = convert(info, bytes, 'f32');
        await this.#write(buffer, 4 * at, values, 0, values.length);
        at += values.length;
      }
    }
    return { name, length, buffer };
  }

  /** Frees every weight it has loaded: for a model that is done with, or whose loading failed half-way. */
  destroy(): void {
    for (const buffer of this.#buffers.splice(0)) buffer.destroy();
  }

  /** Buffers for all rows, each as large as a binding may be. */
  #allocate(name: string, rows: number, rowBytes: number): WeightPart[] {
    const rowsPerPart = Math.floor(this.#maxPartBytes / rowBytes);
    if (rowsPerPart === 0)
      throw new WeightsError(
        `${this.#checkpoint.name}: one row of tensor "${name}" takes ${rowBytes} bytes; ` +
          `this device's largest storage buffer has ${this.#maxPartBytes}`,
      );
    const parts: WeightPart[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += rowsPerPart) {
      const count = Math.min(rowsPerPart, rows - firstRow);
      parts.push({ buffer: this.#createBuffer(count * rowBytes, name), firstRow, rows: count });
    }
    return parts;
  }

  #createBuffer(size: number, name: string): GPUBuffer {
    const buffer = this.#gpu.createBuffer(size, USAGE, name);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Writes whole rows from row `first` of the matrix into the parts that they fall into. */
  async #writeRows(
    parts: readonly WeightPart[],
    first: number,
    stride: number,
    values: StoredArray,
  ): Promise<void> {
    const last = first + values.length / stride;
    const rowBytes = stride * values.BYTES_PER_ELEMENT;
    for (const part of parts) {
      const begin = Math.max(first, part.firstRow);
      const end = Math.min(last, part.firstRow + part.rows);
      if (begin >= end) continue;
      const offset = (begin - part.firstRow) * rowBytes;
      await this.#write(part.buffer, offset, values, (begin - first) * stride, (end - begin) * stride);
    }
  }

  /** `offset` in bytes; `from` and `count` in elements. */
  async #write(
    buffer: GPUBuffer,
    offset: number,
    values: StoredArray,
    from: number,
    count: number,
  ): Promise<void> {
    this.#gpu.device.queue.writeBuffer(buffer, offset, values, from, count);
    this.#undrained += count * values.BYTES_PER_ELEMENT;
    if (this.#undrained < DRAIN_BYTES) return;
    this.#undrained = 0;
    await this.#gpu.finish();
  }
}

/** Throws unless the tensors, one below the other, are a matrix of this size. */
function checkMatrix(infos: readonly TensorInfo[], rows: number, columns: number): void {
  const counts = infos.map((info) => rowsOf(info.shape, columns));
  const complete = counts.every((count) => count !== undefined);
  if (!complete || sum(counts) !== rows || rows === 0 || columns === 0)
    throw misfit(infos, `a matrix [${rows}, ${columns}]`);
}

/** Rows of a tensor whose last dimensions multiply to `columns`; undefined if none do. */
function rowsOf(shape: readonly number[], columns: number): number | undefined {
  let inner = 1;
  for (let axis = shape.length; axis >= 0; axis--) {
    if (inner === columns) return elementCount(shape.slice(0, axis));
    inner *= shape[axis - 1] ?? 0;
  }
  return undefined;
}

function misfit(infos: readonly TensorInfo[], expected: string): WeightsError {
  const found = infos.map(({ name, shape }) => `"${name}" [${shape.join(', ')}]`).join(', ');
  return new WeightsError(
    `${infos[0]?.file}: expected ${expected}${infos.length > 1 ? ' from these tensors together' : ''}, found ${found}. ` +
      'Do config.json and the weights belong to the same model?',
  );
}

function storageType({ name, file, dtype }: TensorInfo): ElementType {
  const type = STORED_AS[dtype];
  if (!type) throw new WeightsError(`${file}: tensor "${name}" is ${dtype}, expected F32, F16, BF16 or F64`);
  return type;
}

/** A tensor's bytes in the storage type. What is stored as it is keeps every bit. */
function convert(
  { name, file, dtype }: TensorInfo,
  bytes: Uint8Array<ArrayBuffer>,
  type: ElementType,
): StoredArray {
  if (dtype === type.toUpperCase()) return viewAs(dtype as 'F32' | 'F16' | 'BF16', bytes);
  const values = asFloat32({ dtype, shape: [], data: viewAs(dtype, bytes) } as unknown as HostTensor, name);
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
function rowPadder(columns: number, stride: number): (values: StoredArray) => StoredArray {
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

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
