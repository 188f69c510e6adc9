// Activations kept on the GPU until they are asked for.

import { NoticeError } from '../errors.ts';
import type { Gpu, Tensor, Work } from '../gpu/index.ts';
import { gatherRows } from '../kernels/index.ts';
import { type Activation, type ModelRun, sequenceIn } from '../models/index.ts';
import { isByHead, lengthAt, towerOf } from './names.ts';

/** One hook point's activation for a batch. */
export class CachedActivation {
  readonly name: string;
  readonly heads: number;
  readonly size: number;
  /** Positions of each run. */
  readonly lengths: readonly number[];
  /** Keys of each run where columns are keys; undefined where they are features. */
  readonly keys: readonly number[] | undefined;
  /** Positions of a tile, in a tower that sees tiles. */
  readonly tile: number | undefined;
  readonly #tensor: Tensor;
  #gpu: Gpu | undefined;
  #released = false;

  constructor(
    { name, heads, size }: Pick<Activation, 'name' | 'heads' | 'size'>,
    tensor: Tensor,
    lengths: readonly number[],
    keys: readonly number[] | undefined,
    tile: number | undefined,
  ) {
    this.name = name;
    this.heads = heads;
    this.size = size;
    this.#tensor = tensor;
    this.lengths = lengths;
    this.keys = keys;
    this.tile = tile;
  }

  /**
   * [Σ positions, heads · size]; the runs' positions one after the other.
   *
   * @throws NoticeError('hook') after the cache was released: other tensors use that memory then
   */
  get tensor(): Tensor {
    if (this.#released)
      throw new NoticeError('hook', `${this.name}: this activation's cache has been released`);
    return this.#tensor;
  }

  /** Row of a run's position in {@link tensor}. */
  row(batch: number, position: number): number {
    const length = this.lengths[batch];
    if (length === undefined || !(Number.isInteger(position) && position >= 0 && position < length))
      throw new NoticeError(
        'hook',
        `${this.name}: no position ${position} of batch row ${batch} in the cache (lengths ${this.lengths.join(', ')})`,
      );
    return this.lengths.slice(0, batch).reduce((sum, n) => sum + n, 0) + position;
  }

  /**
   * [batch, position, size], [batch, position, head, size], for scores and patterns [batch, head, query, key], for
   * logits [batch, vocabulary]. In a tower that sees tiles the tile comes behind the batch: [batch, tile, position, …].
   * Shorter runs, and those with fewer tiles, are filled up with zeros.
   */
  get shape(): number[] {
    const { lengths, keys, tile, heads, size, name } = this;
    const positions = Math.max(0, ...lengths);
    const batch = [lengths.length, ...(tile ? [positions / tile] : [])];
    if (keys) return [...batch, heads, tile ?? positions, Math.max(0, ...keys)];
    if (name === 'logits') return [...batch, size];
    return [...batch, tile ?? positions, ...(isByHead(name) ? [heads] : []), size];
  }

  /** Where the values of a head at a position stand among those of {@link shape}. */
  #index(batch: number, position: number, head: number): number {
    const { heads, size, lengths, keys } = this;
    const positions = Math.max(0, ...lengths);
    if (!keys) return ((batch * positions + position) * heads + head) * size;
    const { tile = positions } = this;
    const query = position % tile;
    const row = (batch * positions + position - query) * heads + head * tile + query;
    return row * Math.max(0, ...keys);
  }

  /** Reads it from the GPU, in the order of {@link shape}. */
  async read(): Promise<Float32Array> {
    const { tensor } = this;
    if (!this.#gpu) throw new Error(`${this.name} is read outside the work in which it was made`);
    const [rows] = await this.#gpu.read(tensor);
    return this.arrange(rows as Float32Array);
  }

  /** Rows as they lie on the GPU to the order of {@link shape}. */
  arrange(rows: Float32Array): Float32Array {
    const { heads, size, lengths, keys } = this;
    const width = heads * size;
    const out = new Float32Array(this.shape.reduce((product, count) => product * count, 1));
    let row = 0;
    lengths.forEach((length, batch) => {
      for (let p = 0; p < length; p++, row++) {
        if (!keys) {
          out.set(rows.subarray(row * width, (row + 1) * width), this.#index(batch, p, 0));
          continue;
        }
        for (let h = 0; h < heads; h++) {
          const first = row * width + h * size;
          out.set(rows.subarray(first, first + (keys[batch] as number)), this.#index(batch, p, h));
        }
      }
    });
    return out;
  }

  /** The inverse of {@link arrange} for one row: [heads · size], zeros beyond a row's keys. */
  valuesOf(arranged: Float32Array, batch: number, position: number): Float32Array<ArrayBuffer> {
    const { heads, size, keys } = this;
    const row = new Float32Array(heads * size);
    for (let h = 0; h < heads; h++) {
      const first = this.#index(batch, position, h);
      row.set(arranged.subarray(first, first + (keys ? (keys[batch] as number) : size)), h * size);
    }
    return row;
  }

  /** To be called when its tensor outlives the work in which it was made. */
  keptOn(gpu: Gpu): this {
    this.#gpu = gpu;
    return this;
  }

  /** Frees the GPU memory. */
  release(): void {
    if (!this.#released) this.#gpu?.release(this.#tensor);
    this.#released = true;
  }
}

/** Activations of one batch by hook name. */
export class ActivationCache {
  readonly #activations = new Map<string, CachedActivation>();

  constructor(activations: readonly CachedActivation[]) {
    for (const activation of activations) this.#activations.set(activation.name, activation);
  }

  get names(): string[] {
    return [...this.#activations.keys()];
  }

  has(name: string): boolean {
    return this.#activations.has(name);
  }

  /** @throws NoticeError('hook') if it was not cached */
  get(name: string): CachedActivation {
    const found = this.#activations.get(name);
    if (!found)
      throw new NoticeError(
        'hook',
        `"${name}" is not in the cache; it holds ${this.names.join(', ') || 'nothing'}`,
      );
    return found;
  }

  /** Reads an activation from the GPU, in the order of its shape. */
  async read(name: string): Promise<Float32Array> {
    return this.get(name).read();
  }

  [Symbol.iterator](): IterableIterator<[string, CachedActivation]> {
    return this.#activations.entries();
  }

  /** Frees the GPU memory. */
  release(): void {
    for (const activation of this.#activations.values()) activation.release();
    this.#activations.clear();
  }
}

/** Rows of an activation by runs. */
export interface RunRows {
  readonly rows: Uint32Array;
  /** How many each run has. */
  readonly lengths: readonly number[];
  readonly keys: readonly number[] | undefined;
  readonly tile: number | undefined;
}

/**
 * The rows that runs have now in an activation. In the step of an answer these are those of new positions.
 *
 * @param positionsOf which positions of the run of this number, in which order; default all
 */
export function rowsOfRuns(
  activation: Activation,
  runs: readonly ModelRun[],
  positionsOf?: (run: number) => readonly number[] | undefined,
): RunRows {
  const tower = towerOf(activation.name);
  const own = runs.map((run) => sequenceIn(run, tower));
  const rowsOf = own.map((run, i) => {
    const positions = positionsOf?.(i) ?? Array.from({ length: lengthAt(activation.name, run) }, (_, p) => p);
    return positions.map((p) => activation.rowOf(run, p)).filter((row) => row >= 0);
  });
  return {
    rows: Uint32Array.from(rowsOf.flat()),
    lengths: rowsOf.map((rows) => rows.length),
    keys: activation.columns === 'keys' ? own.map((run) => activation.keysOf(run)) : undefined,
    // Some positions are no tiles.
    tile: positionsOf?.(0) ? undefined : own.find((run) => run.tile !== undefined)?.tile,
  };
}

/**
 * Copies rows of an activation, or of what has its layout (its gradient; undefined: zeros).
 *
 * @param from default the activation's tensor
 */
export function cacheRows(
  w: Work,
  activation: Pick<Activation, 'name' | 'heads' | 'size'>,
  { rows, lengths, keys, tile }: RunRows,
  from: Tensor | undefined,
): CachedActivation {
  const { name, heads, size } = activation;
  const tensor = w.empty(rows.length, heads * size, `cached ${name}`);
  if (from) gatherRows(w, from, rows, tensor);
  else w.clear(tensor.buffer, 0, 4 * rows.length * heads * size);
  return new CachedActivation(activation, tensor, lengths, keys, tile);
}

/** Copies the rows of some runs from an activation, as {@link rowsOfRuns} names them. */
export function cacheActivation(
  w: Work,
  activation: Activation,
  runs: readonly ModelRun[],
  positionsOf?: (run: number) => readonly number[] | undefined,
): CachedActivation {
  return cacheRows(w, activation, rowsOfRuns(activation, runs, positionsOf), activation.tensor);
}
