// Work is recorded into one command encoder and submitted in large portions. Consecutive dispatches share a
// compute pass; WebGPU orders them as written.

import { BindGroupCache } from './bind-groups.ts';
import type { Capabilities } from './capabilities.ts';
import { ShaderError } from './errors.ts';
import { MAX_PARAM_BYTES, type ParamLayout, type ParamValues, packParams } from './params.ts';
import type { Pipeline } from './pipeline.ts';
import type { DispatchTimer } from './timing.ts';

/** Dispatches after which work is submitted by itself: keeps the device busy and each submission short. */
const MAX_DISPATCHES_PER_SUBMIT = 256;
/** Floating-point operations after which it is, too: a few seconds of a software adapter, milliseconds of a GPU. */
const MAX_FLOPS_PER_SUBMIT = 2e10;
/** Bytes between two kernels' parameters in the uniform buffer: the largest alignment WebGPU can ask for. */
const PARAM_STRIDE = 256;

export interface RecorderStatistics {
  readonly dispatches: number;
  readonly submissions: number;
}

export class Recorder {
  readonly #device: GPUDevice;
  readonly #limits: Capabilities['limits'];
  readonly #params: ParamBuffer | undefined;
  readonly #bindGroups: BindGroupCache;
  readonly #afterSubmit: (flops: number) => void;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #pending = 0;
  #pendingFlops = 0;
  #dispatches = 0;
  #submissions = 0;
  /** Set while a profile is taken: every dispatch then has a pass of its own. */
  timer: DispatchTimer | undefined;

  /**
   * @param paramsLayout absent on devices with immediates
   * @param afterSubmit told the floating-point operations of the submission
   */
  constructor(
    device: GPUDevice,
    limits: Capabilities['limits'],
    paramsLayout: GPUBindGroupLayout | undefined,
    afterSubmit: (flops: number) => void,
  ) {
    this.#device = device;
    this.#limits = limits;
    this.#bindGroups = new BindGroupCache(device);
    this.#params = paramsLayout
      ? new ParamBuffer(device, paramsLayout, MAX_DISPATCHES_PER_SUBMIT)
      : undefined;
    this.#afterSubmit = afterSubmit;
  }

  /** Records one kernel over `groups` workgroups. A grid with a zero is skipped. */
  dispatch<L extends ParamLayout>(
    pipeline: Pipeline<L>,
    buffers: readonly GPUBuffer[],
    params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops: number,
  ): void {
    if (groups.some((count) => count === 0)) return;
    const limit = this.#limits.maxComputeWorkgroupsPerDimension;
    if (groups.some((count) => count > limit)) {
      throw new ShaderError(
        `${pipeline.source.name}: grid ${groups.join(' × ')} exceeds maxComputeWorkgroupsPerDimension (${limit})`,
      );
    }
    const pass = this.#computePass(pipeline.source.name);
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, this.#bindGroups.get(pipeline as unknown as Pipeline, buffers));
    if (Object.keys(pipeline.source.params).length > 0) {
      const words = packParams(pipeline.source.params, params);
      if (this.#params) this.#params.bind(pass, words);
      else (pass as ImmediatePass).setImmediates(0, words);
    }
    pass.dispatchWorkgroups(...groups);
    if (this.timer) this.#endPass();
    this.#dispatches++;
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

  /** Submits what has been recorded. */
  submit(): void {
    this.#endPass();
    this.timer?.resolve(this.#commandEncoder());
    if (this.#encoder) {
      this.#params?.upload();
      this.#device.queue.submit([this.#encoder.finish()]);
      this.#encoder = undefined;
      this.#pending = 0;
      this.#submissions++;
    }
    this.#afterSubmit(this.#pendingFlops);
    this.#pendingFlops = 0;
  }

  get statistics(): RecorderStatistics {
    return { dispatches: this.#dispatches, submissions: this.#submissions };
  }

  #commandEncoder(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder();
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

/** Parameters of one submission's kernels in one uniform buffer, bound with dynamic offsets. */
class ParamBuffer {
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #group: GPUBindGroup;
  readonly #staging: Uint32Array<ArrayBuffer>;
  #count = 0;

  constructor(device: GPUDevice, layout: GPUBindGroupLayout, capacity: number) {
    const size = capacity * PARAM_STRIDE;
    this.#device = device;
    this.#staging = new Uint32Array(size / 4);
    this.#buffer = device.createBuffer({ label: 'kernel parameters', size, usage: 0x40 | 0x08 }); // UNIFORM | COPY_DST
    this.#group = device.createBindGroup({
      layout,
      entries: [{ binding: 0, resource: { buffer: this.#buffer, size: MAX_PARAM_BYTES } }],
    });
  }

  bind(pass: GPUComputePassEncoder, words: Uint32Array): void {
    const offset = this.#count++ * PARAM_STRIDE;
    this.#staging.set(words, offset / 4);
    pass.setBindGroup(1, this.#group, [offset]);
  }

  /** Writes are ordered with submissions, so the buffer can be refilled at once. */
  upload(): void {
    if (this.#count > 0)
      this.#device.queue.writeBuffer(this.#buffer, 0, this.#staging, 0, (this.#count * PARAM_STRIDE) / 4);
    this.#count = 0;
  }
}
