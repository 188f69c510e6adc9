// What kernels, walks and probes record into. They cannot tell whether what they ask for is done, only counted, or
// something else: that is decided by whoever begins the work (`Gpu.work`, `Gpu.count`).

import type { Capabilities } from './capabilities.ts';
import type { ParamLayout, ParamValues } from './params.ts';
import type { BindingLayout, Buffers, KernelSource } from './pipeline.ts';
import type { Tape } from './tape.ts';
import type { Tensor } from './tensor.ts';
import type { KernelTime } from './timing.ts';

/** Values that are uploaded; a multiple of 4 bytes. */
export type Words = Float32Array | Uint32Array | Int32Array | Uint8Array;

/**
 * A piece of work on a device: kernels are recorded in call order, run when enough has been recorded or something is
 * read, and a read waits for all that was recorded before it. What a work acquires is its own, and given back at its end
 * unless it is kept.
 */
export abstract class Work {
  /** What the device can do. */
  abstract readonly capabilities: Capabilities;

  /** Where kernel functions note what they do, if that is to be differentiated. */
  readonly tape?: Tape;

  /** A storage buffer of at least `bytes` bytes; its contents are undefined. */
  abstract acquire(bytes: number, label: string): GPUBuffer;

  /** A storage buffer with the given words (tables, token ids). */
  abstract uploadWords(values: Words, label: string): GPUBuffer;

  /**
   * The same for words that may be asked for again, as every layer of a walk asks for the same tables: equal words under a label
   * are uploaded once while the work remembers them. Nobody may write the buffer; release it as often as it was asked for.
   */
  abstract shareWords(values: Words, label: string): GPUBuffer;

  /** Gives what was acquired back. What is recorded already may still use it. */
  abstract release(...held: readonly (Tensor | GPUBuffer)[]): void;

  /** Lets tensors outlive the work, unless it fails; `Gpu.release` gives them back. */
  abstract keep(...tensors: readonly Tensor[]): void;

  /**
   * Records one kernel. A grid with a zero is skipped.
   *
   * @param buffers by the names of their bindings
   * @param flops floating-point operations of its result, a multiply-add counted as two; for estimates and progress
   */
  abstract dispatch<B extends BindingLayout, L extends ParamLayout>(
    source: KernelSource<B, L>,
    buffers: Buffers<B>,
    params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops?: number,
  ): void;

  /** Records a copy of `bytes` bytes, a multiple of 4; so are the offsets. */
  abstract copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void;

  /** Records zeros for `bytes` bytes, a multiple of 4; so is the offset. */
  abstract clear(buffer: GPUBuffer, fromByte: number, bytes: number): void;

  /**
   * Runs what is recorded and reads tensors, in one round trip.
   *
   * @returns for each tensor its values row by row, without gaps
   * @throws what the device refused of this work: ShaderError, OutOfMemoryError, GpuValidationError; DeviceLostError; the
   *   reason of the signal that ended the work
   */
  abstract read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]>;

  /**
   * Calls code that is not part of the work, and waits for it as long as the work goes on. Other works go on meanwhile: the code may begin some on
   * the same device and wait for them.
   */
  abstract callOut<T>(code: () => T | Promise<T>): Promise<T>;

  /**
   * GPU time of every kernel that `body` records.
   *
   * @returns undefined where the device has no timestamps; `body` is not run then
   */
  abstract profile(body: () => void | Promise<void>): Promise<KernelTime[] | undefined>;

  /** A tensor with undefined contents. */
  empty(rows: number, columns: number, label: string): Tensor {
    const buffer = this.acquire(4 * rows * columns, label);
    return { buffer, rows, columns, stride: columns, offset: 0 };
  }

  /** A tensor with the given values, row by row. */
  upload(values: Float32Array, rows: number, columns: number, label: string): Tensor {
    return { buffer: this.uploadWords(values, label), rows, columns, stride: columns, offset: 0 };
  }

  /** Submits what is recorded and waits until it has run. Throws as {@link read} does. */
  async finish(): Promise<void> {
    await this.read();
  }
}

/** The buffer of a tensor, or the buffer. */
export function bufferOf(held: Tensor | GPUBuffer): GPUBuffer {
  return 'buffer' in held ? held.buffer : held;
}
