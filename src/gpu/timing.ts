// GPU time of single kernels, from timestamp queries. Adapters may give zero or reversed stamps; such a sample
// counts as absent, never as zero time.

export interface KernelTime {
  readonly kernel: string;
  /** Milliseconds on the GPU, or undefined where the adapter gave no usable stamps. */
  readonly milliseconds: number | undefined;
}

const CAPACITY = 2048; // dispatches per profile; WebGPU allows 4096 queries in a set

export class DispatchTimer {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #labels: string[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: 2 * CAPACITY });
    this.#resolved = device.createBuffer({ size: 16 * CAPACITY, usage: 0x200 | 0x04 }); // QUERY_RESOLVE | COPY_SRC
  }

  /** Where the next dispatch writes its stamps; undefined when the set is full. */
  next(label: string): GPUComputePassTimestampWrites | undefined {
    if (this.#labels.length >= CAPACITY) return undefined;
    const first = 2 * this.#labels.length;
    this.#labels.push(label);
    return { querySet: this.#queries, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
  }

  /** Records the transfer of all stamps so far. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.#labels.length > 0)
      encoder.resolveQuerySet(this.#queries, 0, 2 * this.#labels.length, this.#resolved, 0);
  }

  /** Reads the stamps of submitted work. */
  async read(): Promise<KernelTime[]> {
    const bytes = 16 * this.#labels.length;
    if (bytes === 0) return [];
    const staging = this.#device.createBuffer({ size: bytes, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
    try {
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, bytes);
      this.#device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
      return this.#labels.map((kernel, i) => ({
        kernel,
        milliseconds: elapsed(stamps[2 * i]!, stamps[2 * i + 1]!),
      }));
    } finally {
      staging.destroy();
    }
  }

  /** Frees the queries. What writes to them must have been submitted, or never be. */
  destroy(): void {
    this.#resolved.destroy();
    this.#queries.destroy();
  }
}

/** Milliseconds between two stamps in ns; undefined if either is zero or they are reversed. */
export function elapsed(begin: bigint, end: bigint): number | undefined {
  return begin > 0n && end > begin ? Number(end - begin) / 1e6 : undefined;
}
