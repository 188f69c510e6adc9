// The GPU buffers of a model's weights: made, written a few MiB at a time, counted and freed.

import type { Gpu, WorkOptions } from '../gpu/index.ts';
import type { WeightPart } from '../kernels/index.ts';
import { type WeightPlan, weightPlan } from './plan.ts';
import type { StoredArray } from './stored.ts';

/** `queue.writeBuffer` copies, and the copies stay until the device has taken them: so many bytes are a portion, */
const PORTION_BYTES = 16 * 1024 * 1024;
/** and of so many portions the oldest is waited for. Some are always on their way, since a wait takes 100 ms in Firefox. */
const PORTIONS = 3;
const USAGE = 0x80 | 0x08 | 0x04; // GPUBufferUsage.STORAGE | COPY_DST | COPY_SRC; the global is absent in Node

/** Elements of a storage type, or bytes of codes. */
export type Elements = StoredArray | Uint8Array<ArrayBuffer>;

export class WeightBuffers {
  readonly #gpu: Gpu;
  readonly #planOnly: boolean;
  readonly #options: WorkOptions;
  readonly #buffers: GPUBuffer[] = [];
  /** Bytes of the portion that is being written. */
  #portion = 0;
  /** Portions on their way, oldest first. */
  readonly #underWay: Promise<void>[] = [];

  /** @param planOnly buffers are only counted, and do not exist */
  constructor(gpu: Gpu, planOnly: boolean, options: WorkOptions) {
    this.#gpu = gpu;
    this.#planOnly = planOnly;
    this.#options = options;
  }

  /** What has been made so far, or would have been. */
  get plan(): WeightPlan {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.#gpu.capabilities.limits;
    const buffers = this.#buffers.map(({ label, size }) => ({ name: label, bytes: size }));
    return weightPlan(buffers, Math.min(maxStorageBufferBindingSize, maxBufferSize));
  }

  async create(size: number, name: string): Promise<GPUBuffer> {
    const buffer = this.#planOnly
      ? ({ size, label: name, destroy: () => {} } as unknown as GPUBuffer)
      : await this.#gpu.createBuffer(size, USAGE, name);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Writes whole rows from row `first` of the matrix into the parts that they fall into. */
  async writeRows(
    parts: readonly WeightPart[],
    first: number,
    stride: number,
    values: Elements,
  ): Promise<void> {
    const rowBytes = stride * values.BYTES_PER_ELEMENT;
    for (const { part, begin, end } of overlaps(parts, first, values.length / stride)) {
      const offset = (begin - part.firstRow) * rowBytes;
      await this.write(part.buffer, offset, values, (begin - first) * stride, (end - begin) * stride);
    }
  }

  /** `offset` in bytes; `from` and `count` in elements. */
  async write(
    buffer: GPUBuffer,
    offset: number,
    values: Elements,
    from: number,
    count: number,
  ): Promise<void> {
    this.#gpu.device.queue.writeBuffer(buffer, offset, values, from, count);
    await this.wrote(count * values.BYTES_PER_ELEMENT);
  }

  /** To be called after bytes have been written to the queue. */
  async wrote(bytes: number): Promise<void> {
    this.#portion += bytes;
    if (this.#portion < PORTION_BYTES) return;
    this.#portion = 0;
    const taken = this.#gpu.finish(this.#options);
    taken.catch(() => {}); // whoever waits for it, or for the last of all, hears of it
    this.#underWay.push(taken);
    if (this.#underWay.length === PORTIONS) await this.#underWay.shift();
  }

  /** Frees all of them. */
  destroy(): void {
    this.#gpu.destroyBuffers(this.#buffers.splice(0));
  }
}

/** The parts that `count` rows from row `first` fall into, and the rows of the matrix that are in each. */
export function* overlaps<P extends WeightPart>(parts: readonly P[], first: number, count: number) {
  for (const part of parts) {
    const begin = Math.max(first, part.firstRow);
    const end = Math.min(first + count, part.firstRow + part.rows);
    if (begin < end) yield { part, begin, end };
  }
}
