// The device with everything that lives as long as it does: pipelines, bind groups, buffer pool. What is computed on it is
// computed in a `Work`. It knows nothing of models.

import { abortable, checkAborted, pause, signalsOf } from '../abort.ts';
import { BindGroupCache } from './bind-groups.ts';
import { type Capabilities, LIMIT_NAMES, readCapabilities, type TuningTable } from './capabilities.ts';
import { CountedWork, type WorkEstimate } from './counted-work.ts';
import { DeviceLostError, OutOfMemoryError } from './errors.ts';
import { type KernelSource, PipelineCache } from './pipeline.ts';
import { BufferPool } from './pool.ts';
import { StagingBuffers } from './readback.ts';
import { createBuffer, RecordedWork, type WorkDevice } from './recorded-work.ts';
import { ParamBuffer } from './recorder.ts';
import { offeredMatrix, probeMatrix, SUBGROUP_MATRIX_FEATURE } from './subgroup-matrix.ts';
import type { Tensor } from './tensor.ts';
import { Turns } from './turns.ts';
import type { Work } from './work.ts';

export interface GpuOptions {
  /**
   * Bytes that tensors (not weights) may take together. Default 2 GiB, and 512 MiB on devices whose buffers cannot be as large
   * as 1 GiB: phones end a page that takes more than about 1.5 GB.
   */
  readonly memoryBudget?: number;
  /** Use no subgroup operations even where the device has them, so that the portable kernels can be tested. */
  readonly subgroups?: boolean;
  /** Pass parameters through a uniform buffer even where the device has immediates. */
  readonly immediates?: boolean;
  /**
   * Multiply with weights in floats on the GPU's matrix units, where the adapter has them and the runtime offers them (Dawn's
   * experimental subgroup matrices): about as exact as f32, but not the same bits, and inputs beyond 65504 give NaN. Elsewhere
   * the usual kernels are used; `capabilities.subgroupMatrix` tells.
   */
  readonly subgroupMatrices?: boolean;
  /**
   * Compile the kernels of work that has been counted side by side, before it begins. Default: not on software adapters,
   * since what SwiftShader compiles so computes 4 to 8 % slower (bench/RESULTS.md).
   */
  readonly compileAhead?: boolean;
  /**
   * Take the adapter for software or for a GPU when kernels are chosen, whatever it is: the bits are the same, only the time
   * differs. For tests of what other devices run.
   */
  readonly deviceClass?: 'software' | 'gpu';
  /**
   * Floating-point operations that one dispatch of a matrix product may do; more is done in several, with the same bits.
   * Default 1e11: half a second at 0.2 TFLOP/s, since Windows ends a device that has worked on one for two.
   */
  readonly maxDispatchFlops?: number;
  /** Choices of kernels measured on this adapter; default their documented defaults. */
  readonly tuning?: TuningTable;
  /** Bytes of host memory that are free, which is what a software adapter's buffers are made of. */
  readonly freeHostMemory?: () => number;
  /** Called once if the device is lost without having been destroyed. */
  readonly onLost?: (error: DeviceLostError) => void;
}

export interface WorkOptions {
  /** Ends the work at its next wait, also the wait for its turn; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

const MAX_DISPATCH_FLOPS = 1e11;
const DEFAULT_BUDGET = 2 * 1024 ** 3;
const SMALL_BUDGET = 512 * 1024 ** 2;
const COMPUTE = 4; // GPUShaderStage.COMPUTE

/** Share of the memory budget that planned work may take; the pool rounds sizes up and keeps some buffers. */
const PLANNED_SHARE = 0.75;

export interface GpuStatistics {
  /** Kernels submitted so far. */
  readonly dispatches: number;
  readonly submissions: number;
}

/**
 * A WebGPU device: works on it, its activations' memory, its loss. `openGpu` of `notice-webgpu/node` or `/browser` opens one.
 *
 * Callers may run at the same time: their works take turns, each with the whole memory budget (`memoryBudget` bytes, default
 * 2 GiB, less on devices with little memory). Weights do not count against it. A work that fails rejects with a NoticeError:
 * OutOfMemoryError, ShaderError, GpuValidationError, GpuDriverError, DeviceLostError, or the reason of its signal.
 *
 * @example
 * const gpu = await openGpu({ memoryBudget: 4 * 1024 ** 3 });
 * const model = await loadModel(gpu, folder);
 * const times = await gpu.work((w) => w.profile(async () => void (await model.forward(w, [new ModelRun(sample)]))));
 * gpu.destroy(); // frees everything; what still waits ends with DeviceLostError
 */
export class Gpu {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  /**
   * Aborts when the device is destroyed or lost, with a DeviceLostError. Whoever waits for the device waits for this, too:
   * some promises of a lost device are never settled.
   */
  readonly lost: AbortSignal;
  readonly pool: Pick<BufferPool, 'budget' | 'statistics' | 'resetPeak' | 'trim'>;
  readonly #pool: BufferPool;
  readonly #workDevice: WorkDevice;
  readonly #turns = new Turns();
  /** Those under way: the one that has the turn, and those that are calling out. */
  readonly #works = new Set<RecordedWork>();
  /** Whose first work has been counted. */
  readonly #counted = new WeakSet<object>();
  /** Dawn in Node aborts when the object that made the adapter is collected. */
  readonly #keepAlive: unknown;
  readonly #freeHostMemory: (() => number) | undefined;
  #workListener: ((flops: number) => void) | undefined;
  readonly #loss = new AbortController();
  #dispatches = 0;
  #submissions = 0;

  /**
   * Opens the adapter's device with every limit it offers.
   *
   * @param adapter an adapter of a real backend; `src/platform` finds one
   * @param entry the `GPU` object that gave the adapter; kept alive with the device
   * @throws OutOfMemoryError, NoAdapterError; DeviceLostError if it is lost at once
   */
  static async create(adapter: GPUAdapter, entry: GPU, options: GpuOptions = {}): Promise<Gpu> {
    const requiredFeatures: GPUFeatureName[] = [];
    for (const feature of ['shader-f16', 'subgroups', 'timestamp-query'] as GPUFeatureName[]) {
      if (feature === ('subgroups' as GPUFeatureName) && options.subgroups === false) continue;
      if (adapter.features.has(feature)) requiredFeatures.push(feature);
    }
    const matrix =
      options.subgroupMatrices && requiredFeatures.includes('subgroups' as GPUFeatureName)
        ? offeredMatrix(adapter)
        : undefined;
    if (matrix) requiredFeatures.push(SUBGROUP_MATRIX_FEATURE as GPUFeatureName);
    const offered = adapter.limits as unknown as Record<string, number | undefined>;
    const requiredLimits: Record<string, number> = {};
    for (const name of [
      ...LIMIT_NAMES,
      'maxComputeWorkgroupSizeX',
      'maxComputeWorkgroupSizeY',
      'maxComputeWorkgroupSizeZ',
    ]) {
      const value = offered[name];
      if (value !== undefined) requiredLimits[name] = value;
    }
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
    const languageFeatures = new Set<string>(options.immediates === false ? [] : entry.wgslLanguageFeatures);
    const probed = matrix ? await unlessLost(device, probeMatrix(device, matrix)) : {};
    const capabilities = {
      ...readCapabilities(adapter.info, device, languageFeatures, {
        deviceClass: options.deviceClass,
        maxDispatchFlops: options.maxDispatchFlops ?? MAX_DISPATCH_FLOPS,
        tuning: options.tuning ?? {},
      }),
      ...probed,
    };
    return new Gpu(device, capabilities, entry, options);
  }

  private constructor(
    device: GPUDevice,
    capabilities: Capabilities,
    keepAlive: unknown,
    options: GpuOptions,
  ) {
    this.device = device;
    this.capabilities = capabilities;
    this.lost = this.#loss.signal;
    this.#keepAlive = keepAlive;
    this.#freeHostMemory = options.freeHostMemory;
    const { limits } = capabilities;
    this.#pool = new BufferPool({
      budget: options.memoryBudget ?? (limits.maxBufferSize < 1024 ** 3 ? SMALL_BUDGET : DEFAULT_BUDGET),
      largest: 4 * Math.floor(Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize) / 4),
    });
    this.pool = this.#pool;
    const immediates = capabilities.features.has('immediates');
    const paramsLayout = device.createBindGroupLayout({
      label: 'kernel parameters',
      entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } }],
    });
    this.#workDevice = {
      device,
      capabilities,
      limits,
      pool: this.#pool,
      bindGroups: new BindGroupCache(device),
      params: immediates ? undefined : new ParamBuffer(device, paramsLayout),
      pipelines: new PipelineCache(
        device,
        immediates,
        paramsLayout,
        options.compileAhead ?? !capabilities.software,
      ),
      staging: new StagingBuffers(),
      turns: this.#turns,
      onSubmit: (dispatches, flops) => this.#submitted(dispatches, flops),
      lost: this.lost,
      lostSoon: () => this.#lostSoon(),
    };
    void device.lost.then((info) => {
      if (this.lost.aborted) return;
      const error = new DeviceLostError(info.reason ?? 'unknown', info.message);
      this.#loss.abort(error);
      options.onLost?.(error);
    });
  }

  /** Bytes that new buffers can take together, where that is known: WebGPU does not tell it of a GPU. */
  get freeMemory(): number | undefined {
    return this.capabilities.software ? this.#freeHostMemory?.() : undefined;
  }

  /**
   * What a planned work may take: all its tensors together, beside those that outlived their work and those of works that
   * are calling out; and a single one.
   */
  get room(): { readonly bytes: number; readonly largestBytes: number } {
    const { budget, largest, statistics } = this.#pool;
    const held = [...this.#works].filter((work) => work.isOut).reduce((sum, work) => sum + work.usedBytes, 0);
    return { bytes: PLANNED_SHARE * budget - statistics.keptBytes - held, largestBytes: largest };
  }

  get statistics(): GpuStatistics {
    return { dispatches: this.#dispatches, submissions: this.#submissions };
  }

  /**
   * Does some work. One work is done at a time, since each may take the whole memory budget; the next waits for its end, or
   * until it calls out. So a work must not wait for another except in {@link Work.callOut}.
   *
   * Everything that it acquired and did not keep is released at its end, also when it throws: it may be left half-way
   * without leaking.
   *
   * @throws what the device refused of this work, and of no other: ShaderError, OutOfMemoryError, GpuValidationError;
   *   DeviceLostError; the signal's reason
   */
  async work<T>(body: (w: Work) => T | Promise<T>, { signal }: WorkOptions = {}): Promise<T> {
    const signals = signalsOf(this.lost, signal);
    checkAborted(signals);
    await abortable(this.#workDevice.pipelines.ready(), signals);
    await this.#turns.take(signals);
    const work = new RecordedWork(this.#workDevice, signals);
    this.#works.add(work);
    try {
      const result = await body(work);
      await work.end();
      return result;
    } catch (error) {
      await work.abandon();
      throw error;
    } finally {
      this.#works.delete(work);
      if (!work.isOut) this.#turns.pass();
    }
  }

  /**
   * What some work would cost. Everything happens but the work itself: nothing is recorded, buffers are only counted, and
   * reads give zeros. So a plan is made by the code that carries it out. It waits for nobody.
   *
   * What is counted is about to be done: its kernels are compiled side by side before the next work begins, instead of one
   * after the other as it records them ({@link GpuOptions.compileAhead}).
   *
   * @throws DeviceLostError; the signal's reason
   */
  async count(body: (w: Work) => unknown, { signal }: WorkOptions = {}): Promise<WorkEstimate> {
    // Counting itself never lets a timer run, which might be the one that aborts.
    if (signal) await pause(0);
    checkAborted(signalsOf(this.lost, signal));
    const work = new CountedWork(this.capabilities, this.#pool.largest, (source) =>
      this.#workDevice.pipelines.expect(source),
    );
    await body(work);
    return work.estimate;
  }

  /**
   * Counts the first of the works that `owner` does, so that its kernels are compiled ahead; does nothing from then on, nor
   * where kernels are compiled as they are recorded.
   * What is wrong with the work is left to the work itself.
   */
  async ahead(owner: object, body: (w: Work) => unknown): Promise<void> {
    if (!this.#workDevice.pipelines.compilesAhead || this.#counted.has(owner)) return;
    this.#counted.add(owner);
    await this.count(body).catch(() => {});
  }

  /** Reads tensors that were kept. Throws as {@link Work.read} does. */
  read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]> {
    return this.work((w) => w.read(...tensors));
  }

  /** Gives tensors back that were kept. Work already recorded may still use them. */
  release(...tensors: readonly Tensor[]): void {
    for (const work of this.#works) work.flush();
    for (const { buffer } of tensors) this.#pool.release(buffer);
  }

  /**
   * A buffer outside the pool, for what stays (weights).
   *
   * @param size bytes, a multiple of 4
   * @throws OutOfMemoryError
   */
  async createBuffer(size: number, usage: number, label: string): Promise<GPUBuffer> {
    this.lost.throwIfAborted();
    const limit = this.capabilities.limits.maxBufferSize;
    if (size > limit) {
      throw new OutOfMemoryError(
        size,
        `"${label}" needs a buffer of ${size} bytes; this device allows ${limit} (maxBufferSize).`,
      );
    }
    const { value: buffer, verdict } = createBuffer(this.device, size, usage, label);
    const refused = await abortable(verdict, [this.lost]);
    if (refused) {
      buffer.destroy();
      throw refused;
    }
    return buffer;
  }

  /** Destroys buffers outside the pool. What is recorded already may still use them. */
  destroyBuffers(buffers: Iterable<GPUBuffer>): void {
    for (const work of this.#works) work.flush();
    for (const buffer of buffers) buffer.destroy();
  }

  /**
   * Waits until all that was submitted or written so far has run.
   *
   * @throws DeviceLostError; the signal's reason
   */
  async finish({ signal }: WorkOptions = {}): Promise<void> {
    const signals = signalsOf(this.lost, signal);
    checkAborted(signals);
    for (const work of this.#works) work.flush();
    try {
      await abortable(this.device.queue.onSubmittedWorkDone(), signals);
    } catch (cause) {
      checkAborted(signals);
      await this.#lostSoon();
      this.lost.throwIfAborted();
      throw cause;
    }
  }

  /** The whole text that a kernel compiles from on this device. */
  shaderText(source: KernelSource): string {
    return this.#workDevice.pipelines.text(source);
  }

  /** Tells `listener` of floating-point operations when they have been done, some seconds' or less at a time. */
  onWork(listener: ((flops: number) => void) | undefined): void {
    this.#workListener = listener;
  }

  /** Frees the device and all its buffers. Whatever waits for it, or is begun later, ends with a DeviceLostError. */
  destroy(): void {
    this.#loss.abort(new DeviceLostError('destroyed', ''));
    this.device.destroy();
    void this.#keepAlive;
  }

  #submitted(dispatches: number, flops: number): void {
    this.#dispatches += dispatches;
    this.#submissions++;
    const listener = this.#workListener;
    if (!listener || flops === 0) return;
    void this.device.queue.onSubmittedWorkDone().then(
      () => listener(flops),
      () => {}, // told to whoever works
    );
  }

  /** Lets the report of a lost device, which may come just after a failed call, arrive first. */
  async #lostSoon(): Promise<void> {
    await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
}

/**
 * What a device answers that is not watched yet.
 *
 * @throws DeviceLostError: a device that is lost may never answer, or say something else first
 */
async function unlessLost<T>(device: GPUDevice, answer: Promise<T>): Promise<T> {
  const lost = device.lost.then(({ reason, message }): never => {
    throw new DeviceLostError(reason ?? 'unknown', message);
  });
  const late = answer.catch(async (error: unknown) => {
    await pause(50);
    throw error;
  });
  return Promise.race([late, lost]);
}
