// Work whose operators are noted while they are recorded, so that they can be walked back.

import type { Capabilities } from './capabilities.ts';
import type { ParamLayout, ParamValues } from './params.ts';
import type { BindingLayout, Buffers, KernelSource } from './pipeline.ts';
import { Tape } from './tape.ts';
import type { Tensor } from './tensor.ts';
import type { KernelTime } from './timing.ts';
import { bufferOf, type Words, Work } from './work.ts';

export class TapedWork extends Work {
  override readonly tape: Tape;
  /** The work that is recorded into: what goes there directly is not noted. */
  readonly inner: Work;

  /** @param of whose operators these are, for messages: the model's family */
  constructor(inner: Work, of: string) {
    super();
    this.inner = inner;
    this.tape = new Tape(inner, of);
  }

  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  acquire(bytes: number, label: string): GPUBuffer {
    return this.inner.acquire(bytes, label);
  }

  uploadWords(values: Words, label: string): GPUBuffer {
    return this.inner.uploadWords(values, label);
  }

  shareWords(values: Words, label: string): GPUBuffer {
    return this.inner.shareWords(values, label);
  }

  release(...held: readonly (Tensor | GPUBuffer)[]): void {
    for (const one of held) this.tape.release(bufferOf(one));
  }

  keep(...tensors: readonly Tensor[]): void {
    this.inner.keep(...tensors);
  }

  dispatch<B extends BindingLayout, L extends ParamLayout>(
    source: KernelSource<B, L>,
    buffers: Buffers<B>,
    params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops?: number,
  ): void {
    this.tape.dispatched(source, buffers as Readonly<Record<string, GPUBuffer | undefined>>);
    this.inner.dispatch(source, buffers, params, groups, flops);
  }

  copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void {
    this.tape.copied(from, to);
    this.inner.copy(from, fromByte, to, toByte, bytes);
  }

  clear(buffer: GPUBuffer, fromByte: number, bytes: number): void {
    this.inner.clear(buffer, fromByte, bytes);
  }

  read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]> {
    return this.inner.read(...tensors);
  }

  callOut<T>(code: () => T | Promise<T>): Promise<T> {
    return this.inner.callOut(code);
  }

  profile(body: () => void | Promise<void>): Promise<KernelTime[] | undefined> {
    return this.inner.profile(body);
  }
}
