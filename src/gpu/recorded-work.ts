// Work that is done.

import { abortable, checkAborted } from '../abort.ts';
import type { Capabilities } from './capabilities.ts';
import { GpuValidationError, OutOfMemoryError } from './errors.ts';
import { Faults, guarded } from './faults.ts';
import type { ParamLayout, ParamValues } from './params.ts';
import type { BindingLayout, Buffers, KernelSource, PipelineCache } from './pipeline.ts';
import { Arena, type BufferPool } from './pool.ts';
import { Readback, type StagingBuffers } from './readback.ts';
import { Recorder, type Recording } from './recorder.ts';
import { SharedWords } from './shared-words.ts';
import type { Tensor } from './tensor.ts';
import { DispatchTimer, type KernelTime } from './timing.ts';
import type { Turns } from './turns.ts';
import { bufferOf, type Words, Work } from './work.ts';

const STORAGE = 0x80 | 0x04 | 0x08; // GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST; the global is absent in Node

/** What a device's works have in common. */
export interface WorkDevice extends Recording {
  readonly capabilities: Capabilities;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly staging: StagingBuffers;
  readonly turns: Turns;
  readonly onSubmit: (dispatches: number, flops: number) => void;
  /** Aborts when the device is lost. */
  readonly lost: AbortSignal;
  /** Waits a moment for the report of a lost device, after a call that failed. */
  lostSoon(): Promise<void>;
}

export class RecordedWork extends Work {
  readonly capabilities: Capabilities;
  readonly #device: WorkDevice;
  /** What ends every wait. */
  readonly #signals: readonly AbortSignal[];
  readonly #arena: Arena;
  readonly #recorder: Recorder;
  readonly #shared = new SharedWords(
    (values, label) => this.uploadWords(values, label),
    (buffer) => this.#arena.release(buffer),
  );
  readonly #faults = new Faults();
  #ended = false;
  #isOut = false;

  constructor(device: WorkDevice, signals: readonly AbortSignal[]) {
    super();
    this.#device = device;
    this.#signals = signals;
    this.capabilities = device.capabilities;
    this.#recorder = new Recorder(device, {
      onVerdict: (verdict) => this.#faults.watch(verdict),
      onSubmit: (dispatches, flops) => {
        this.#arena.submitted();
        device.onSubmit(dispatches, flops);
      },
    });
    this.#arena = new Arena(
      device.pool,
      (size, label) => this.#createBuffer(size, STORAGE, label),
      () => this.#recorder.submit(),
    );
  }

  /** Bytes in use. */
  get usedBytes(): number {
    return this.#arena.usedBytes;
  }

  /** Whether it is calling out, or was ended while it did: it does not have the turn. */
  get isOut(): boolean {
    return this.#isOut;
  }

  acquire(bytes: number, label: string): GPUBuffer {
    this.#checkOpen();
    return this.#arena.acquire(bytes, label);
  }

  uploadWords(values: Words, label: string): GPUBuffer {
    this.#checkOpen();
    const buffer = this.#arena.acquireForUpload(values.byteLength, label);
    this.#device.device.queue.writeBuffer(buffer, 0, values.buffer, values.byteOffset, values.byteLength);
    return buffer;
  }

  shareWords(values: Words, label: string): GPUBuffer {
    return this.#shared.get(values, label);
  }

  release(...held: readonly (Tensor | GPUBuffer)[]): void {
    for (const one of held) {
      const buffer = bufferOf(one);
      if (!this.#shared.giveBack(buffer)) this.#arena.release(buffer);
    }
  }

  keep(...tensors: readonly Tensor[]): void {
    for (const { buffer } of tensors) this.#arena.keep(buffer);
  }

  dispatch<B extends BindingLayout, L extends ParamLayout>(
    source: KernelSource<B, L>,
    buffers: Buffers<B>,
    params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops = 0,
  ): void {
    this.#checkOpen();
    const pipeline = this.#device.pipelines.get(source);
    if (pipeline.verdict) this.#faults.watch(pipeline.verdict);
    this.#recorder.dispatch(pipeline, buffers, params, groups, flops);
  }

  copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void {
    this.#checkOpen();
    this.#recorder.copy(from, fromByte, to, toByte, bytes);
  }

  clear(buffer: GPUBuffer, fromByte: number, bytes: number): void {
    this.#checkOpen();
    this.#recorder.clear(buffer, fromByte, bytes);
  }

  async read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]> {
    this.#checkOpen();
    const { staging, device } = this.#device;
    const readback = new Readback(tensors);
    const mapped =
      readback.bytes > 0
        ? staging.take(readback.bytes, (...buffer) => this.#createBuffer(...buffer))
        : undefined;
    if (mapped) readback.record((...copy) => this.#recorder.copy(...copy), mapped);
    this.#recorder.submit();
    try {
      await this.#settle(() => (mapped ? readback.map(mapped) : device.queue.onSubmittedWorkDone()));
      const values = readback.values(mapped);
      if (mapped) staging.give(mapped);
      return values;
    } catch (error) {
      mapped?.destroy();
      throw error;
    }
  }

  async callOut<T>(code: () => T | Promise<T>): Promise<T> {
    this.#checkOpen();
    this.flush();
    // What the device refused may be among the free buffers.
    await this.#judged();
    this.#arena.giveFree();
    const { turns } = this.#device;
    turns.pass();
    this.#isOut = true;
    try {
      return await this.#wait((async () => code())());
    } finally {
      await turns.take(this.#signals);
      this.#isOut = false;
    }
  }

  async profile(body: () => void | Promise<void>): Promise<KernelTime[] | undefined> {
    if (!this.capabilities.features.has('timestamp-query')) return undefined;
    this.#recorder.submit();
    const timer = new DispatchTimer(this.#device.device);
    this.#recorder.timer = timer;
    try {
      await body();
      this.#recorder.submit();
      await this.#judged();
      return await this.#wait(timer.read());
    } finally {
      this.#recorder.submit();
      this.#recorder.timer = undefined;
      timer.destroy();
    }
  }

  /** Submits what is recorded. */
  flush(): void {
    this.#recorder.submit();
  }

  /**
   * Ends the work well.
   *
   * @throws what the device refused of it
   */
  async end(): Promise<void> {
    this.flush();
    await this.#judged();
    this.#ended = true;
    this.#arena.close();
  }

  /** Ends the work after a failure. */
  async abandon(): Promise<void> {
    this.#ended = true;
    this.#recorder.abandon();
    await abortable(this.#faults.settled(), [this.#device.lost]).catch(() => {}); // told to whoever waited
    this.#arena.abandon(this.#faults.first !== undefined);
  }

  #createBuffer(size: number, usage: number, label: string): GPUBuffer {
    const { value, verdict } = createBuffer(this.#device.device, size, usage, label);
    this.#faults.watch(verdict);
    return value;
  }

  /** Waits for the device; then throws if it refused anything of this work, or what was waited for failed. */
  async #settle(wait: () => Promise<undefined>): Promise<void> {
    let failure: unknown;
    try {
      await this.#wait(wait());
    } catch (cause) {
      checkAborted(this.#signals);
      failure = cause;
      await this.#device.lostSoon();
    }
    await this.#judged();
    if (failure !== undefined)
      throw new GpuValidationError(
        `reading back failed: ${failure instanceof Error ? failure.message : String(failure)}`,
      );
  }

  /** Waits until the device has judged what was submitted, and throws if it refused any of it. */
  async #judged(): Promise<void> {
    await this.#wait(this.#faults.settled());
    checkAborted(this.#signals);
    const { first } = this.#faults;
    if (first) throw first;
  }

  /** Waits for what may never come. */
  #wait<T>(wait: Promise<T>): Promise<T> {
    return abortable(wait, this.#signals);
  }

  #checkOpen(): void {
    checkAborted(this.#signals);
    if (this.#ended) throw new Error('this work has ended; was something in it not waited for?');
  }
}

/** A buffer, with what the device says to it. */
export function createBuffer(device: GPUDevice, size: number, usage: number, label: string) {
  const refused = (message: string) =>
    new OutOfMemoryError(size, `"${label}": the device could not allocate ${size} bytes: ${message}`);
  return guarded(device, { 'out-of-memory': refused }, () => device.createBuffer({ label, size, usage }));
}
