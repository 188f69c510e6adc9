// Buffers of released tensors are used again: a forward pass asks for the same few sizes over and over.
//
// A buffer that was released while work is still being recorded may be handed to later *recorded* work at once
// (the GPU runs it in order), but must not be written by `queue.writeBuffer` before that work is submitted:
// such writes overtake the recording. `acquireForUpload` keeps to this rule.

import { OutOfMemoryError } from './errors.ts';

const STORAGE = 0x80 | 0x04 | 0x08; // GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST; the global is absent in Node
const ALIGNMENT = 256;

export interface PoolStatistics {
  /** Bytes of all buffers that exist now, in use or kept for reuse. */
  readonly allocatedBytes: number;
  /** Bytes in use now. */
  readonly usedBytes: number;
  /** The largest `usedBytes` so far, or since `resetPeak`. */
  readonly peakUsedBytes: number;
  /** The largest `allocatedBytes` so far, or since `resetPeak`. */
  readonly peakAllocatedBytes: number;
  readonly created: number;
  readonly reused: number;
}

interface FreeBuffer {
  readonly buffer: GPUBuffer;
  /** Number of the recording in which it was released. */
  readonly epoch: number;
}

export class BufferPool {
  /** Bytes that all buffers of the pool together may take. */
  budget: number;
  readonly #create: (size: number, usage: number, label: string) => GPUBuffer;
  readonly #submit: () => void;
  readonly #free = new Map<number, FreeBuffer[]>();
  readonly #inUse = new Map<GPUBuffer, { readonly size: number; readonly serial: number }>();
  #serial = 0;
  #epoch = 0;
  #allocated = 0;
  #used = 0;
  #peakUsed = 0;
  #peakAllocated = 0;
  #created = 0;
  #reused = 0;

  /** `submit` submits the work recorded so far, so that buffers it has released can be destroyed. */
  constructor(
    create: (size: number, usage: number, label: string) => GPUBuffer,
    submit: () => void,
    budget: number,
  ) {
    this.#create = create;
    this.#submit = submit;
    this.budget = budget;
  }

  /** A storage buffer of at least `bytes` bytes for recorded work; its contents are undefined. */
  acquire(bytes: number, label: string): GPUBuffer {
    return this.#acquire(bytes, label, Number.POSITIVE_INFINITY);
  }

  /** The same for `queue.writeBuffer`: never a buffer that work not yet submitted still reads. */
  acquireForUpload(bytes: number, label: string): GPUBuffer {
    return this.#acquire(bytes, label, this.#epoch - 1);
  }

  release(buffer: GPUBuffer): void {
    const size = this.#inUse.get(buffer)?.size;
    if (size === undefined) throw new Error(`buffer "${buffer.label}" released twice, or not of this pool`);
    this.#inUse.delete(buffer);
    this.#used -= size;
    const bucket = this.#free.get(size) ?? [];
    bucket.push({ buffer, epoch: this.#epoch });
    this.#free.set(size, bucket);
  }

  /** Whether the buffer is in use, and of this pool. */
  owns(buffer: GPUBuffer): boolean {
    return this.#inUse.has(buffer);
  }

  /** Grows with every buffer that is acquired. */
  get serial(): number {
    return this.#serial;
  }

  /** The buffers in use that were acquired since {@link serial} had this value. */
  acquiredSince(serial: number): GPUBuffer[] {
    return [...this.#inUse].filter(([, used]) => used.serial > serial).map(([buffer]) => buffer);
  }

  /** Called when recorded work has been submitted. */
  submitted(): void {
    this.#epoch++;
  }

  /** Destroys every buffer that is not in use. */
  trim(): void {
    for (const [size, bucket] of this.#free) {
      for (const { buffer } of bucket) this.#destroy(buffer, size);
    }
    this.#free.clear();
  }

  resetPeak(): void {
    this.#peakUsed = this.#used;
    this.#peakAllocated = this.#allocated;
  }

  get statistics(): PoolStatistics {
    return {
      allocatedBytes: this.#allocated,
      usedBytes: this.#used,
      peakUsedBytes: this.#peakUsed,
      peakAllocatedBytes: this.#peakAllocated,
      created: this.#created,
      reused: this.#reused,
    };
  }

  #acquire(bytes: number, label: string, latestEpoch: number): GPUBuffer {
    const size = bucketSize(bytes);
    const buffer = this.#takeFree(size, latestEpoch) ?? this.#allocate(size, label);
    this.#inUse.set(buffer, { size, serial: ++this.#serial });
    this.#used += size;
    this.#peakUsed = Math.max(this.#peakUsed, this.#used);
    return buffer;
  }

  #takeFree(size: number, latestEpoch: number): GPUBuffer | undefined {
    const bucket = this.#free.get(size);
    const index = bucket?.findLastIndex((free) => free.epoch <= latestEpoch) ?? -1;
    if (!bucket || index < 0) return undefined;
    this.#reused++;
    return bucket.splice(index, 1)[0]?.buffer;
  }

  #allocate(size: number, label: string): GPUBuffer {
    if (this.#allocated + size > this.budget) this.#makeRoom(size);
    if (this.#allocated + size > this.budget) {
      throw new OutOfMemoryError(
        size,
        `"${label}" needs ${size} bytes, but ${this.#used} of the pool's budget of ${this.budget} bytes are in use. ` +
          'Raise the memory budget, or run fewer sequences at a time.',
      );
    }
    const buffer = this.#create(size, STORAGE, label);
    this.#created++;
    this.#allocated += size;
    this.#peakAllocated = Math.max(this.#peakAllocated, this.#allocated);
    return buffer;
  }

  /** Destroys free buffers, largest first, until `size` more bytes fit. */
  #makeRoom(size: number): void {
    this.#submit();
    for (const bucketBytes of [...this.#free.keys()].sort((a, b) => b - a)) {
      const bucket = this.#free.get(bucketBytes) ?? [];
      while (bucket.length > 0 && this.#allocated + size > this.budget) {
        const free = bucket.pop();
        if (free) this.#destroy(free.buffer, bucketBytes);
      }
    }
  }

  #destroy(buffer: GPUBuffer, size: number): void {
    buffer.destroy();
    this.#allocated -= size;
  }
}

/** Rounds up to one of eight sizes per power of two: at most an eighth is wasted, and sizes meet again. */
export function bucketSize(bytes: number): number {
  const wanted = Math.max(ALIGNMENT, bytes);
  const step = Math.max(ALIGNMENT, 2 ** Math.floor(Math.log2(wanted)) / 8);
  return Math.ceil(wanted / step) * step;
}
