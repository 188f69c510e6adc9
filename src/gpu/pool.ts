// Buffers of released tensors are used again: a forward pass asks for the same few sizes over and over.
//
// Every work has an arena. A buffer that is released while work is still being recorded may be handed to later
// *recorded* work of the same arena at once (the GPU runs it in order), but must not be written by `queue.writeBuffer`
// before that work is submitted, since such writes overtake the recording; and not be handed to other works at all, which
// may be submitted earlier. So what is released stays in its arena, and goes to the pool when all recorded work has been
// submitted. What is free in the pool is free for any use.

import { OutOfMemoryError } from './errors.ts';

const ALIGNMENT = 256;

export interface PoolStatistics {
  /** Bytes of all buffers that exist now, in use or kept for reuse. */
  readonly allocatedBytes: number;
  /** Bytes in use now. */
  readonly usedBytes: number;
  /** Of these, bytes of tensors that outlived the work they were made in. */
  readonly keptBytes: number;
  /** The largest `usedBytes` so far, or since `resetPeak`. */
  readonly peakUsedBytes: number;
  /** The largest `allocatedBytes` so far, or since `resetPeak`. */
  readonly peakAllocatedBytes: number;
  readonly created: number;
  readonly reused: number;
}

export interface PoolLimits {
  /** Bytes that all buffers together may take. */
  readonly budget: number;
  /** Bytes that one buffer may take, a multiple of 4. */
  readonly largest: number;
}

/** A device's buffers for tensors. */
export class BufferPool {
  /** Bytes that all buffers together may take. */
  budget: number;
  /** Bytes that one buffer may take. */
  readonly largest: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  readonly #kept = new Map<GPUBuffer, number>();
  #allocated = 0;
  #used = 0;
  #peakUsed = 0;
  #peakAllocated = 0;
  #created = 0;
  #reused = 0;

  constructor({ budget, largest }: PoolLimits) {
    this.budget = budget;
    this.largest = largest;
  }

  /** A free buffer of exactly this size. */
  take(size: number): GPUBuffer | undefined {
    return this.#free.get(size)?.pop();
  }

  /** Takes a buffer that nobody uses any more. */
  give(buffer: GPUBuffer, size: number): void {
    const bucket = this.#free.get(size);
    if (bucket) bucket.push(buffer);
    else this.#free.set(size, [buffer]);
  }

  /** Takes note of a buffer that outlives its work. */
  keep(buffer: GPUBuffer, size: number): void {
    this.#kept.set(buffer, size);
  }

  /** Takes a kept buffer back. All work that reads it must have been submitted. */
  release(buffer: GPUBuffer): void {
    const size = this.#kept.get(buffer);
    if (size === undefined) throw new Error(`buffer "${buffer.label}" released twice, or not kept`);
    this.#kept.delete(buffer);
    this.count(-size);
    this.give(buffer, size);
  }

  /**
   * Makes room for a new buffer, if need be by destroying free ones, largest first, and counts it as allocated.
   *
   * @throws OutOfMemoryError if what is in use leaves too little of the budget
   */
  reserve(size: number, label: string): void {
    if (!this.fits(size)) this.#destroyFor(size);
    if (!this.fits(size))
      throw new OutOfMemoryError(
        size,
        `"${label}" needs ${size} bytes, but ${this.#used} of the pool's budget of ${this.budget} bytes are in use. ` +
          'Raise the memory budget, or run fewer sequences at a time.',
      );
    this.#created++;
    this.#allocated += size;
    this.#peakAllocated = Math.max(this.#peakAllocated, this.#allocated);
  }

  fits(size: number): boolean {
    return this.#allocated + size <= this.budget;
  }

  destroy(buffer: GPUBuffer, size: number): void {
    buffer.destroy();
    this.#allocated -= size;
  }

  /** Counts bytes that come into use, or go out of it. */
  count(bytes: number): void {
    this.#used += bytes;
    this.#peakUsed = Math.max(this.#peakUsed, this.#used);
  }

  /** Counts a buffer that is used again. */
  countReuse(): void {
    this.#reused++;
  }

  /** Destroys every buffer that is not in use. */
  trim(): void {
    for (const [size, bucket] of this.#free) for (const buffer of bucket) this.destroy(buffer, size);
    this.#free.clear();
  }

  resetPeak(): void {
    this.#peakUsed = this.#used;
    this.#peakAllocated = this.#allocated;
  }

  #destroyFor(size: number): void {
    for (const bucketBytes of [...this.#free.keys()].sort((a, b) => b - a)) {
      const bucket = this.#free.get(bucketBytes) ?? [];
      while (bucket.length > 0 && !this.fits(size)) this.destroy(bucket.pop() as GPUBuffer, bucketBytes);
    }
  }

  get statistics(): PoolStatistics {
    return {
      allocatedBytes: this.#allocated,
      usedBytes: this.#used,
      keptBytes: [...this.#kept.values()].reduce((sum, size) => sum + size, 0),
      peakUsedBytes: this.#peakUsed,
      peakAllocatedBytes: this.#peakAllocated,
      created: this.#created,
      reused: this.#reused,
    };
  }
}

interface FreeBuffer {
  readonly buffer: GPUBuffer;
  /** Number of the recording in which it was released. */
  readonly epoch: number;
}

/** The buffers of one work. */
export class Arena {
  readonly #pool: BufferPool;
  readonly #create: (size: number, label: string) => GPUBuffer;
  readonly #submit: () => void;
  readonly #free = new Map<number, FreeBuffer[]>();
  readonly #inUse = new Map<GPUBuffer, number>();
  readonly #kept = new Set<GPUBuffer>();
  #epoch = 0;

  /** `submit` submits what the work has recorded so far. */
  constructor(pool: BufferPool, create: (size: number, label: string) => GPUBuffer, submit: () => void) {
    this.#pool = pool;
    this.#create = create;
    this.#submit = submit;
  }

  /** A buffer of at least `bytes` bytes for recorded work; its contents are undefined. */
  acquire(bytes: number, label: string): GPUBuffer {
    return this.#acquire(bytes, label, Number.POSITIVE_INFINITY);
  }

  /** The same for `queue.writeBuffer`: never a buffer that work not yet submitted still reads. */
  acquireForUpload(bytes: number, label: string): GPUBuffer {
    return this.#acquire(bytes, label, this.#epoch - 1);
  }

  release(buffer: GPUBuffer): void {
    const size = this.#inUse.get(buffer);
    if (size === undefined)
      throw new Error(`buffer "${buffer.label}" released twice, or not acquired by this work`);
    this.#inUse.delete(buffer);
    this.#kept.delete(buffer);
    this.#pool.count(-size);
    const bucket = this.#free.get(size);
    const free = { buffer, epoch: this.#epoch };
    if (bucket) bucket.push(free);
    else this.#free.set(size, [free]);
  }

  keep(buffer: GPUBuffer): void {
    if (!this.#inUse.has(buffer)) throw new Error(`buffer "${buffer.label}" is kept but not in use`);
    this.#kept.add(buffer);
  }

  /** Called when recorded work has been submitted. */
  submitted(): void {
    this.#epoch++;
  }

  /** Gives what is free to the pool. Nothing may be recorded that is not submitted. */
  giveFree(): void {
    for (const [size, bucket] of this.#free) for (const { buffer } of bucket) this.#pool.give(buffer, size);
    this.#free.clear();
  }

  /** Ends the arena: all goes back to the pool but what is kept. Nothing may be recorded that is not submitted. */
  close(): void {
    for (const [buffer, size] of [...this.#inUse]) {
      if (this.#kept.has(buffer)) this.#pool.keep(buffer, size);
      else this.release(buffer);
    }
    this.giveFree();
  }

  /**
   * Ends the arena of a work that failed: nothing is kept.
   *
   * @param refused whether the device refused something: a buffer may then never have come to be, so all are destroyed
   */
  abandon(refused: boolean): void {
    for (const buffer of [...this.#inUse.keys()]) this.release(buffer);
    if (refused)
      for (const [size, bucket] of this.#free)
        for (const { buffer } of bucket.splice(0)) this.#pool.destroy(buffer, size);
    this.giveFree();
  }

  /** Bytes in use. */
  get usedBytes(): number {
    return [...this.#inUse.values()].reduce((sum, size) => sum + size, 0);
  }

  #acquire(bytes: number, label: string, latestEpoch: number): GPUBuffer {
    const { largest } = this.#pool;
    if (bytes > largest)
      throw new OutOfMemoryError(
        bytes,
        `"${label}" needs ${bytes} bytes in one buffer; this device binds ${largest} at most ` +
          '(maxStorageBufferBindingSize, maxBufferSize). Run fewer sequences at a time.',
      );
    const size = bucketSize(bytes, largest);
    const buffer = this.#takeFree(size, latestEpoch) ?? this.#allocate(size, label);
    this.#inUse.set(buffer, size);
    this.#pool.count(size);
    return buffer;
  }

  #takeFree(size: number, latestEpoch: number): GPUBuffer | undefined {
    const bucket = this.#free.get(size);
    const index = bucket?.findLastIndex((free) => free.epoch <= latestEpoch) ?? -1;
    const buffer = bucket && index >= 0 ? bucket.splice(index, 1)[0]?.buffer : this.#pool.take(size);
    if (buffer) this.#pool.countReuse();
    return buffer;
  }

  #allocate(size: number, label: string): GPUBuffer {
    if (!this.#pool.fits(size)) {
      this.#submit();
      this.giveFree();
    }
    this.#pool.reserve(size, label);
    return this.#create(size, label);
  }
}

/**
 * Rounds up to one of eight sizes per power of two: at most an eighth is wasted, and sizes meet again. What would exceed
 * `largest` by that is `largest`.
 */
export function bucketSize(bytes: number, largest = Number.POSITIVE_INFINITY): number {
  const wanted = Math.max(ALIGNMENT, bytes);
  const step = Math.max(ALIGNMENT, 2 ** Math.floor(Math.log2(wanted)) / 8);
  const size = Math.ceil(wanted / step) * step;
  return size > largest && bytes <= largest ? largest : size;
}
