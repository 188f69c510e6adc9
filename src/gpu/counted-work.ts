// Work that is counted instead of done.

import type { Capabilities } from './capabilities.ts';
import type { ParamLayout, ParamValues } from './params.ts';
import type { BindingLayout, Buffers, KernelSource } from './pipeline.ts';
import { bucketSize } from './pool.ts';
import { SharedWords } from './shared-words.ts';
import type { Tensor } from './tensor.ts';
import type { KernelTime } from './timing.ts';
import { bufferOf, type Words, Work } from './work.ts';

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

/** Its buffers have a size and a label and nothing else; what is read of them is zero. */
export class CountedWork extends Work {
  readonly capabilities: Capabilities;
  readonly #largestBuffer: number;
  readonly #onKernel: (source: KernelSource) => void;
  readonly #inUse = new Map<GPUBuffer, number>();
  readonly #shared = new SharedWords(
    (values, label) => this.uploadWords(values, label),
    (buffer) => this.#release(buffer),
  );
  readonly #flopsByKernel = new Map<string, number>();
  #dispatches = 0;
  #used = 0;
  #peak = 0;
  #largest = 0;

  /**
   * @param largestBuffer bytes that one buffer may take
   * @param onKernel told of every kernel that would run
   */
  constructor(
    capabilities: Capabilities,
    largestBuffer: number,
    onKernel: (source: KernelSource) => void = () => {},
  ) {
    super();
    this.capabilities = capabilities;
    this.#largestBuffer = largestBuffer;
    this.#onKernel = onKernel;
  }

  acquire(bytes: number, label: string): GPUBuffer {
    const size = bucketSize(bytes, this.#largestBuffer);
    const buffer = { size, label } as GPUBuffer;
    this.#inUse.set(buffer, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    this.#largest = Math.max(this.#largest, size);
    return buffer;
  }

  uploadWords(values: Words, label: string): GPUBuffer {
    return this.acquire(values.byteLength, label);
  }

  shareWords(values: Words, label: string): GPUBuffer {
    return this.#shared.get(values, label);
  }

  release(...held: readonly (Tensor | GPUBuffer)[]): void {
    for (const one of held) {
      const buffer = bufferOf(one);
      if (!this.#shared.giveBack(buffer)) this.#release(buffer);
    }
  }

  keep(): void {}

  dispatch<B extends BindingLayout, L extends ParamLayout>(
    source: KernelSource<B, L>,
    _buffers: Buffers<B>,
    _params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops = 0,
  ): void {
    if (groups.some((count) => count === 0)) return;
    this.#onKernel(source);
    this.#dispatches++;
    const { name } = source;
    if (flops > 0) this.#flopsByKernel.set(name, (this.#flopsByKernel.get(name) ?? 0) + flops);
  }

  copy(): void {}

  clear(): void {}

  async read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]> {
    return tensors.map(({ rows, columns }) => new Float32Array(rows * columns));
  }

  async callOut<T>(code: () => T | Promise<T>): Promise<T> {
    return code();
  }

  async profile(body: () => void | Promise<void>): Promise<KernelTime[] | undefined> {
    await body();
    return undefined;
  }

  #release(buffer: GPUBuffer): void {
    this.#used -= this.#inUse.get(buffer) ?? 0;
    this.#inUse.delete(buffer);
  }

  get estimate(): WorkEstimate {
    return {
      flops: [...this.#flopsByKernel.values()].reduce((sum, flops) => sum + flops, 0),
      flopsByKernel: this.#flopsByKernel,
      dispatches: this.#dispatches,
      peakBytes: this.#peak,
      largestBytes: this.#largest,
    };
  }
}
