// Streams a checkpoint's tensors into GPU buffers: read, convert, pad, write, a few MiB at a time, so that host
// memory does not depend on the size of the model or of its largest tensor.

import type { Gpu, WorkOptions } from '../gpu/index.ts';
import type {
  ElementType,
  LinearWeight,
  QuantizedPart,
  QuantizedType,
  Vector,
  Weight,
  WeightPart,
} from '../kernels/index.ts';
import { inFile, isPacked, type LinearInfo, linearInfo, packedType } from './bitsandbytes.ts';
import type { Checkpoint } from './checkpoint.ts';
import { WeightsError } from './errors.ts';
import { CHUNK_BYTES, floatRows } from './matrix-rows.ts';
import { type MatrixLayout, matrixLayout, type WeightPlan } from './plan.ts';
import { copyPacked, quantizeRows } from './quantized-rows.ts';
import { elementCount, type TensorInfo } from './safetensors.ts';
import { checkMatrix, joinedName, misfit, sum } from './shapes.ts';
import { convert, rowPadder, storageType } from './stored.ts';
import { WeightBuffers } from './weight-buffers.ts';

export interface WeightLoaderOptions {
  /**
   * Storage type of all matrices. Default: as in the file (F64 becomes f32; tensors of different types that are
   * joined into one matrix become f32). A quantised type is that of the linear layers; the others stay as in the file.
   * Layers that bitsandbytes has quantised are nf4; for them any other type is refused.
   */
  readonly type?: ElementType | QuantizedType;
  /** Bytes after which a matrix is split into parts. Default: the device's largest storage buffer. */
  readonly maxPartBytes?: number;
  /** Load nothing, only count what it would take: weights then have buffers that do not exist. */
  readonly planOnly?: boolean;
  /** Ends what waits for the device; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Size of a matrix. */
interface MatrixSize {
  readonly rows: number;
  readonly columns: number;
}

/** Loads weights one after another. */
export class WeightLoader {
  readonly #gpu: Gpu;
  readonly #checkpoint: Checkpoint;
  /** Of float matrices. */
  readonly #type: ElementType | undefined;
  /** Of linear layers. */
  readonly #quantizedType: QuantizedType | undefined;
  readonly #maxPartBytes: number;
  readonly #planOnly: boolean;
  readonly #options: WorkOptions;
  readonly #buffers: WeightBuffers;

  constructor(
    gpu: Gpu,
    checkpoint: Checkpoint,
    { type, maxPartBytes = Number.POSITIVE_INFINITY, planOnly = false, signal }: WeightLoaderOptions = {},
  ) {
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities.limits;
    this.#gpu = gpu;
    this.#checkpoint = checkpoint;
    if (type === 'nf4' || type === 'int8') this.#quantizedType = type;
    else this.#type = type;
    this.#maxPartBytes = Math.min(maxPartBytes, maxStorageBufferBindingSize, maxBufferSize);
    this.#planOnly = planOnly;
    this.#options = { signal };
    this.#buffers = new WeightBuffers(gpu, planOnly, this.#options);
  }

  /** Bytes of GPU memory that all weights loaded so far take. */
  get bytes(): number {
    return this.plan.bytes;
  }

  /** What has been loaded so far, or would have been. */
  get plan(): WeightPlan {
    return this.#buffers.plan;
  }

  /**
   * A matrix [rows, columns] of floats. Several tensors are joined by rows (query, key and value of one block, for
   * example). A tensor counts as a matrix if its last dimensions multiply to `columns`, so a convolution's
   * [out, in, y, x] is one of in · y · x columns.
   *
   * @param like tensors that are stored as the same type, as if they were joined: tables that one kernel reads
   * @param taps places of a convolution's kernel, the last dimension of the tensor when y and x are one: columns are then put
   *   in the order (tap, in), in which channels lie side by side
   * @throws WeightsError if a tensor is missing, of another shape, not of a float type, or if a finite value does
   *   not fit the storage type
   */
  async matrix(
    names: string | readonly string[],
    { rows, columns }: MatrixSize,
    { like = [], taps = 1 }: { like?: readonly string[]; taps?: number } = {},
  ): Promise<Weight> {
    const infos = this.#matrixInfos(names, rows, columns);
    const stored = new Set([...infos, ...like.map((name) => this.#checkpoint.info(name))].map(storageType));
    const type = this.#type ?? (stored.size === 1 ? [...stored][0]! : 'f32');
    const name = joinedName(infos);
    const { stride, parts: layout } = this.#layout(infos, type, columns);
    const parts: WeightPart[] = [];
    for (const { firstRow, rows: count, bytes } of layout)
      parts.push({ buffer: await this.#buffers.create(bytes, name), firstRow, rows: count });
    if (!this.#planOnly) {
      const pad = rowPadder(columns, stride);
      for await (const { info, bytes, row } of floatRows(this.#checkpoint, infos, columns))
        await this.#buffers.writeRows(
          parts,
          row,
          stride,
          pad(tapsFirst(convert(info, bytes, type), columns, taps)),
        );
    }
    return { name, type, rows, columns, stride, parts };
  }

  /**
   * A matrix [rows, columns] of floats that the file holds the other way round, as [columns, rows]. It is in host memory as
   * a whole.
   *
   * @throws WeightsError as {@link matrix} does
   */
  async transposed(tensor: string, { rows, columns }: MatrixSize): Promise<Weight> {
    const infos = this.#matrixInfos(tensor, columns, rows);
    const [info] = infos as [TensorInfo];
    const type = this.#type ?? storageType(info);
    const layout = matrixLayout(
      `${info.file}: tensor "${tensor}"`,
      type,
      [rows],
      columns,
      this.#maxPartBytes,
    );
    const parts: WeightPart[] = [];
    for (const { firstRow, rows: count, bytes } of layout.parts)
      parts.push({ buffer: await this.#buffers.create(bytes, tensor), firstRow, rows: count });
    const { stride } = layout;
    if (!this.#planOnly) {
      const turned = new (type === 'f32' ? Float32Array : Uint16Array)(rows * stride);
      for await (const { bytes, row } of floatRows(this.#checkpoint, infos, rows))
        convert(info, bytes, type).forEach((value, i) => {
          turned[(i % rows) * stride + row + Math.floor(i / rows)] = value;
        });
      await this.#buffers.writeRows(parts, 0, stride, turned);
    }
    return { name: tensor, type, rows, columns, stride, parts };
  }

  /**
   * The matrix of a linear layer: quantised if that is the storage type, else as {@link matrix}. Every tensor is quantised
   * by itself, as bitsandbytes quantises modules. What bitsandbytes has quantised keeps its codes and absmax.
   *
   * @throws WeightsError as {@link matrix} does, if a value that is to be quantised is not finite, and if a tensor is
   *   quantised in a way that is not supported, or is to be stored as another type
   */
  async linear(names: string | readonly string[], { rows, columns }: MatrixSize): Promise<LinearWeight> {
    const infos: LinearInfo[] = [];
    for (const name of [names].flat()) infos.push(await linearInfo(this.#checkpoint, name));
    const type = infos.some(inFile)
      ? packedType(infos, this.#quantizedType ?? this.#type)
      : this.#quantizedType;
    if (!type) return this.matrix(names, { rows, columns });
    checkMatrix(infos, rows, columns);
    for (const info of infos) if (!inFile(info)) storageType(info);
    const name = joinedName(infos);
    const { stride, parts: layout } = this.#layout(infos, type, columns);
    const parts: QuantizedPart[] = [];
    for (const { firstRow, rows: count, bytes, scaleBytes } of layout)
      parts.push({
        buffer: await this.#buffers.create(bytes, name),
        scales: await this.#buffers.create(scaleBytes, `${name} (scales)`),
        firstRow,
        rows: count,
      });
    const weight = { name, type, rows, columns, stride, parts };
    if (this.#planOnly) return weight;
    if (infos.some(inFile)) await copyPacked(this.#checkpoint, infos, weight, this.#buffers);
    if (!infos.every(inFile))
      await this.#gpu.work(
        (w) => quantizeRows(w, this.#checkpoint, infos, weight, this.#buffers),
        this.#options,
      );
    return weight;
  }

  /**
   * A vector of `length` elements, widened to f32. Several tensors are joined end to end.
   *
   * @param plus added to every element, and rounded to f32
   * @throws WeightsError if a tensor is missing, has more than one dimension other than 1, is not of a float type,
   *   or if their lengths do not add up
   */
  async vector(
    names: string | readonly string[],
    length: number,
    { plus = 0 }: { readonly plus?: number } = {},
  ): Promise<Vector> {
    const infos = [names].flat().map((name) => this.#checkpoint.info(name));
    infos.forEach(storageType);
    const flat = infos.every((info) => info.shape.filter((size) => size !== 1).length <= 1);
    if (!flat || sum(infos.map((info) => elementCount(info.shape))) !== length || length === 0)
      throw misfit(infos, `a vector of ${length} elements`);
    const name = joinedName(infos);
    const buffer = await this.#buffers.create(16 * Math.ceil(length / 4), name);
    let at = 0;
    for (const info of this.#planOnly ? [] : infos) {
      for await (const { bytes } of this.#checkpoint.chunks(info.name, CHUNK_BYTES)) {
        const stored = convert(info, bytes, 'f32');
        const values = plus === 0 ? stored : Float32Array.from(stored, (value) => plus + value);
        await this.#buffers.write(buffer, 4 * at, values, 0, values.length);
        at += values.length;
      }
    }
    return { name, length, buffer };
  }

  /** Frees every weight it has loaded: for a model that is done with, or whose loading failed half-way. */
  destroy(): void {
    this.#buffers.destroy();
  }

  #matrixInfos(names: string | readonly string[], rows: number, columns: number): TensorInfo[] {
    const infos = [names].flat().map((name) => this.#checkpoint.info(name));
    for (const { file, name } of infos)
      if (isPacked(this.#checkpoint, name))
        throw new WeightsError(
          `${file}: tensor "${name}" was quantised by bitsandbytes, which is supported for linear layers but the output head`,
        );
    checkMatrix(infos, rows, columns);
    return infos;
  }

  #layout(infos: readonly TensorInfo[], type: ElementType | QuantizedType, columns: number): MatrixLayout {
    const tensorRows = infos.map(({ shape }) => elementCount(shape) / columns);
    const name = `${this.#checkpoint.name}: tensor "${joinedName(infos)}"`;
    return matrixLayout(name, type, tensorRows, columns, this.#maxPartBytes);
  }
}

/** Rows of (in, tap) as rows of (tap, in). */
function tapsFirst<T extends Float32Array | Uint16Array>(rows: T, columns: number, taps: number): T {
  if (taps === 1) return rows;
  const channels = columns / taps;
  const turned = rows.slice() as T;
  for (let at = 0; at < rows.length; at++) {
    const column = at % columns;
    turned[at - column + (column % taps) * channels + Math.floor(column / taps)] = rows[at] as number;
  }
  return turned;
}
