// Work that is counted instead of done.

import { type BufferPool, bucketSize, type PoolStatistics } from './pool.ts';
import type { Recorder } from './recorder.ts';

/** What some work costs. */
export interface WorkEstimate {
  /** Floating-point operations of matrix products and attention, a multiply-add counted as two. */
  readonly flops: number;
  /** The same by kernel. */
  readonly flopsByKernel: ReadonlyMap<string, number>;
  readonly dispatches: number;
  /** The most that tensors take at one time, in bytes. */
  readonly peakBytes: number;
  /** The largest single tensor, in bytes. */
  readonly largestBytes: number;
}

/** Stands in for pool and recorder. Its buffers have a size and a label and nothing else. */
export class WorkEstimator {
  readonly pool: Pick<BufferPool, keyof BufferPool>;
  readonly recorder: Pick<Recorder, 'copy' | 'submit' | 'statistics'>;
  readonly #inUse = new Map<GPUBuffer, number>();
  readonly #flopsByKernel = new Map<string, number>();
  #dispatches = 0;
  #used = 0;
  #peak = 0;
  #largest = 0;

  /** @param pool where buffers that exist are released, by whoever works beside the estimate */
  constructor(pool: BufferPool) {
    const acquire = (bytes: number, label: string) => this.#acquire(bytes, label);
    const statistics = (): PoolStatistics => ({
      allocatedBytes: this.#used,
      usedBytes: this.#used,
      peakUsedBytes: this.#peak,
      peakAllocatedBytes: this.#peak,
      created: 0,
      reused: 0,
    });
    const inUse = this.#inUse;
    this.pool = {
      budget: Number.POSITIVE_INFINITY,
      acquire,
      acquireForUpload: acquire,
      release: (buffer) => {
        if (pool.owns(buffer)) return pool.release(buffer);
        this.#used -= inUse.get(buffer) ?? 0;
        inUse.delete(buffer);
      },
      owns: (buffer) => inUse.has(buffer),
      serial: 0,
      acquiredSince: () => [],
      submitted: () => {},
      trim: () => {},
      resetPeak: () => {},
      get statistics() {
        return statistics();
      },
    };
    this.recorder = {
      copy: () => {},
      submit: () => {},
      statistics: { dispatches: 0, submissions: 0 },
    };
  }

  dispatch(kernel: string, flops: number): void {
    this.#dispatches++;
    if (flops > 0) this.#flopsByKernel.set(kernel, (this.#flopsByKernel.get(kernel) ?? 0) + flops);
  }

  get result(): WorkEstimate {
    return {
      flops: [...this.#flopsByKernel.values()].reduce((sum, flops) => sum + flops, 0),
      flopsByKernel: this.#flopsByKernel,
      dispatches: this.#dispatches,
      peakBytes: this.#peak,
      largestBytes: this.#largest,
    };
  }

  #acquire(bytes: number, label: string): GPUBuffer {
    const size = bucketSize(bytes);
    const buffer = { size, label } as GPUBuffer;
    this.#inUse.set(buffer, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    this.#largest = Math.max(this.#largest, size);
    return buffer;
  }
}
