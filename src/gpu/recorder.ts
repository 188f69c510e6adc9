// A work is recorded into one command encoder and submitted in large portions. Consecutive dispatches share a
// compute pass; WebGPU orders them as written.

import type { BindGroupCache } from './bind-groups.ts';
import type { Capabilities } from './capabilities.ts';
import { GpuDriverError, GpuValidationError, OutOfMemoryError, ShaderError } from './errors.ts';
import { guarded, type Refusals, type Verdict } from './faults.ts';
import { MAX_PARAM_BYTES, type ParamLayout, type ParamValues, packParams } from './params.ts';
import type { Buffers, Pipeline } from './pipeline.ts';
import type { DispatchTimer } from './timing.ts';

/** Dispatches after which work is submitted by itself: keeps the device busy and each submission short. */
const MAX_DISPATCHES_PER_SUBMIT = 256;
/** Floating-point operations after which it is, too: a few seconds of a software adapter, milliseconds of a GPU. */
const MAX_FLOPS_PER_SUBMIT = 2e10;
/** Bytes between two kernels' parameters in the uniform buffer: the largest alignment WebGPU can ask for. */
const PARAM_STRIDE = 256;

const REFUSALS: Refusals = {
  validation: (message) => new GpuValidationError(`WebGPU refused recorded work: ${message}`),
  internal: (message) => new GpuDriverError(message),
  'out-of-memory': (message) => new OutOfMemoryError(0, `the device ran out of memory: ${message}`),
};

/** What all recordings of a device have in common. */
export interface Recording {
  readonly device: GPUDevice;
  readonly limits: Capabilities['limits'];
  readonly bindGroups: BindGroupCache;
  /** Absent on devices with immediates. */
  readonly params: ParamBuffer | undefined;
}

export interface RecorderEvents {
  /** Told what the device makes of what was recorded. */
  readonly onVerdict: (verdict: Verdict) => void;
  /** Told of every submission, and of the dispatches and floating-point operations in it. */
  readonly onSubmit: (dispatches: number, flops: number) => void;
}

export class Recorder {
  readonly #recording: Recording;
  readonly #events: RecorderEvents;
  readonly #params: ParamWords | undefined;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #pending = 0;
  #pendingFlops = 0;
  /** Set while a profile is taken: every dispatch then has a pass of its own. */
  timer: DispatchTimer | undefined;

  constructor(recording: Recording, events: RecorderEvents) {
    this.#recording = recording;
    this.#events = events;
    this.#params = recording.params && new ParamWords(recording.params);
  }

  /** Records one kernel over `groups` workgroups. A grid with a zero is skipped. */
  dispatch(
    pipeline: Pipeline,
    buffers: Buffers,
    params: ParamValues<ParamLayout>,
    groups: readonly [number, number, number],
    flops: number,
  ): void {
    if (groups.some((count) => count === 0)) return;
    const limit = this.#recording.limits.maxComputeWorkgroupsPerDimension;
    if (groups.some((count) => count > limit)) {
      throw new ShaderError(
        `${pipeline.source.name}: grid ${groups.join(' × ')} exceeds maxComputeWorkgroupsPerDimension (${limit})`,
      );
    }
    const pass = this.#computePass(pipeline.source.name);
    pass.setPipeline(pipeline.pipeline);
    const { bindGroups } = this.#recording;
    pass.setBindGroup(0, bindGroups.get(pipeline, buffers, this.#events.onVerdict));
    if (Object.keys(pipeline.source.params).length > 0) {
      const words = packParams(pipeline.source.params, params);
      if (this.#params) this.#params.bind(pass, words);
      else (pass as ImmediatePass).setImmediates(0, words);
    }
    pass.dispatchWorkgroups(...groups);
    if (this.timer) this.#endPass();
    this.#pending++;
    this.#pendingFlops += flops;
    if (this.#pending >= MAX_DISPATCHES_PER_SUBMIT || this.#pendingFlops >= MAX_FLOPS_PER_SUBMIT)
      this.submit();
  }

  /** Records a copy of `bytes` bytes (a multiple of 4). */
  copy(
    source: GPUBuffer,
    sourceOffset: number,
    target: GPUBuffer,
    targetOffset: number,
    bytes: number,
  ): void {
    this.#endPass();
    this.#commandEncoder().copyBufferToBuffer(source, sourceOffset, target, targetOffset, bytes);
  }

  /** Records zeros for `bytes` bytes (a multiple of 4). */
  clear(buffer: GPUBuffer, offset: number, bytes: number): void {
    this.#endPass();
    this.#commandEncoder().clearBuffer(buffer, offset, bytes);
  }

  /** Submits what has been recorded. */
  submit(): void {
    this.#endPass();
    const encoder = this.#encoder;
    if (encoder) {
      const { device } = this.#recording;
      this.timer?.resolve(encoder);
      this.#params?.upload();
      const { verdict } = guarded(device, REFUSALS, () => device.queue.submit([encoder.finish()]));
      this.#events.onVerdict(verdict);
      this.#events.onSubmit(this.#pending, this.#pendingFlops);
    }
    this.abandon();
  }

  /** Forgets what has been recorded. */
  abandon(): void {
    this.#endPass();
    this.#params?.clear();
    this.#encoder = undefined;
    this.#pending = 0;
    this.#pendingFlops = 0;
  }

  #commandEncoder(): GPUCommandEncoder {
    this.#encoder ??= this.#recording.device.createCommandEncoder();
    return this.#encoder;
  }

  #computePass(label: string): GPUComputePassEncoder {
    const timestampWrites = this.timer?.next(label);
    if (timestampWrites) this.#endPass();
    this.#pass ??= this.#commandEncoder().beginComputePass(timestampWrites ? { timestampWrites } : undefined);
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}

/** `setImmediates` is not yet in @webgpu/types. */
type ImmediatePass = GPUComputePassEncoder & { setImmediates(offset: number, data: Uint32Array): void };

/** A uniform buffer for the parameters of one submission's kernels, bound with dynamic offsets. */
export class ParamBuffer {
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly group: GPUBindGroup;

  constructor(device: GPUDevice, layout: GPUBindGroupLayout) {
    this.#device = device;
    const size = MAX_DISPATCHES_PER_SUBMIT * PARAM_STRIDE;
    this.#buffer = device.createBuffer({ label: 'kernel parameters', size, usage: 0x40 | 0x08 }); // UNIFORM | COPY_DST
    this.group = device.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#buffer, size: MAX_PARAM_BYTES } }],
    });
  }

  /** Writes are ordered with submissions, so the buffer can be filled anew before every one. */
  write(words: Uint32Array<ArrayBuffer>, count: number): void {
    this.#device.queue.writeBuffer(this.#buffer, 0, words, 0, count);
  }
}

/** The parameters of the kernels that are recorded, until they are submitted. */
class ParamWords {
  readonly #buffer: ParamBuffer;
  readonly #words = new Uint32Array((MAX_DISPATCHES_PER_SUBMIT * PARAM_STRIDE) / 4);
  #count = 0;

  constructor(buffer: ParamBuffer) {
    this.#buffer = buffer;
  }

  bind(pass: GPUComputePassEncoder, words: Uint32Array): void {
    const offset = this.#count++ * PARAM_STRIDE;
    this.#words.set(words, offset / 4);
    pass.setBindGroup(1, this.#buffer.group, [offset]);
  }

  upload(): void {
    if (this.#count > 0) this.#buffer.write(this.#words, (this.#count * PARAM_STRIDE) / 4);
  }

  clear(): void {
    this.#count = 0;
  }
}
