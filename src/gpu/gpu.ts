// The device with everything that lives as long as it does: pipelines, buffer pool, recorder. It behaves like one
// queue: kernels are recorded in call order, run when enough has been recorded or something is read, and a read
// waits for all that was recorded before it. It knows nothing of models.

import { NoticeError } from '../errors.ts';
import { type Capabilities, LIMIT_NAMES, readCapabilities, type TuningTable } from './capabilities.ts';
import { DeviceLostError, GpuValidationError, OutOfMemoryError } from './errors.ts';
import { type WorkEstimate, WorkEstimator } from './estimate.ts';
import type { ParamLayout, ParamValues } from './params.ts';
import { type KernelSource, PipelineCache } from './pipeline.ts';
import { BufferPool } from './pool.ts';
import { Readback, StagingBuffers } from './readback.ts';
import { Recorder } from './recorder.ts';
import { offeredMatrix, probeMatrix, SUBGROUP_MATRIX_FEATURE } from './subgroup-matrix.ts';
import type { Tensor } from './tensor.ts';
import { DispatchTimer, type KernelTime } from './timing.ts';

export interface GpuOptions {
  /** Bytes that tensors (not weights) may take together. Default 2 GiB. */
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
  /** Choices of kernels measured on this adapter; default their documented defaults. */
  readonly tuning?: TuningTable;
  /** Bytes of host memory that are free, which is what a software adapter's buffers are made of. */
  readonly freeHostMemory?: () => number;
  /** Called once if the device is lost without having been destroyed. */
  readonly onLost?: (error: DeviceLostError) => void;
}

const DEFAULT_BUDGET = 2 * 1024 ** 3;
const COMPUTE = 4; // GPUShaderStage.COMPUTE

export class Gpu {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly #pool: BufferPool;
  readonly #staging = new StagingBuffers((size, usage, label) => this.createBuffer(size, usage, label));
  readonly #recorder: Recorder;
  /** Set while work is only estimated. */
  #estimate: WorkEstimator | undefined;
  readonly #pipelines: PipelineCache;
  /** Dawn in Node aborts when the object that made the adapter is collected. */
  readonly #keepAlive: unknown;
  readonly #freeHostMemory: (() => number) | undefined;
  readonly #checks = new Set<Promise<void>>();
  #workListener: ((flops: number) => void) | undefined;
  #failure: Error | undefined;
  #destroyed = false;
  #scopes: Promise<void> = Promise.resolve();
  #callingOut = false;

  /**
   * Opens the adapter's device with every limit it offers.
   *
   * @param adapter an adapter of a real backend; `src/platform` finds one
   * @param entry the `GPU` object that gave the adapter; kept alive with the device
   * @throws OutOfMemoryError, NoAdapterError
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
    if (matrix) requiredFeatures.push(SUBGROUP_MATRIX_FEATURE);
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
    const capabilities = {
      ...readCapabilities(adapter.info, device, languageFeatures, options.tuning ?? {}),
      ...(matrix ? await probeMatrix(device, matrix) : {}),
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
    this.#keepAlive = keepAlive;
    this.#freeHostMemory = options.freeHostMemory;
    const immediates = capabilities.features.has('immediates');
    const paramsLayout = device.createBindGroupLayout({
      label: 'kernel parameters',
      entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } }],
    });
    this.#pipelines = new PipelineCache(device, immediates, paramsLayout);
    this.#pool = new BufferPool(
      (size, usage, label) => this.createBuffer(size, usage, label),
      () => this.#recorder.submit(),
      options.memoryBudget ?? DEFAULT_BUDGET,
    );
    this.#recorder = new Recorder(
      device,
      capabilities.limits,
      immediates ? undefined : paramsLayout,
      (flops) => {
        this.#pool.submitted();
        const listener = this.#workListener;
        if (!listener || flops === 0) return;
        // A failure is told by the next read.
        void device.queue.onSubmittedWorkDone().then(
          () => listener(flops),
          () => {},
        );
      },
    );
    device.addEventListener('uncapturederror', (event) => {
      this.#failure ??= new GpuValidationError((event as GPUUncapturedErrorEvent).error.message);
    });
    void device.lost.then((info) => {
      if (this.#destroyed) return;
      const error = new DeviceLostError(info.reason ?? 'unknown', info.message);
      this.#failure = error;
      options.onLost?.(error);
    });
  }

  get pool(): Pick<BufferPool, keyof BufferPool> {
    return this.#estimate?.pool ?? this.#pool;
  }

  get recorder(): Pick<Recorder, 'copy' | 'submit' | 'statistics'> {
    return this.#estimate?.recorder ?? this.#recorder;
  }

  /** Bytes that new buffers can take together, where that is known: WebGPU does not tell it of a GPU. */
  get freeMemory(): number | undefined {
    return this.capabilities.software ? this.#freeHostMemory?.() : undefined;
  }

  /**
   * A buffer outside the pool, for what stays (weights). A refusal by the device surfaces at the next read.
   *
   * @param size bytes, a multiple of 4
   * @throws OutOfMemoryError if the device cannot hold a buffer of this size at all
   */
  createBuffer(size: number, usage: number, label: string): GPUBuffer {
    const limit = this.capabilities.limits.maxBufferSize;
    if (size > limit) {
      throw new OutOfMemoryError(
        size,
        `"${label}" needs a buffer of ${size} bytes; this device allows ${limit} (maxBufferSize).`,
      );
    }
    this.device.pushErrorScope('out-of-memory');
    const buffer = this.device.createBuffer({ label, size, usage });
    const check = this.device.popErrorScope().then(
      (error) => {
        if (error)
          this.#failure ??= new OutOfMemoryError(
            size,
            `"${label}": the device could not allocate ${size} bytes: ${error.message}`,
          );
      },
      () => {}, // the device is lost; that has its own report
    );
    this.#checks.add(check);
    void check.finally(() => this.#checks.delete(check));
    return buffer;
  }

  /** A tensor with undefined contents. */
  empty(rows: number, columns: number, label: string): Tensor {
    const buffer = this.pool.acquire(4 * rows * columns, label);
    return { buffer, rows, columns, stride: columns, offset: 0 };
  }

  /** A tensor with the given values, row by row. */
  upload(values: Float32Array, rows: number, columns: number, label: string): Tensor {
    return { buffer: this.uploadWords(values, label), rows, columns, stride: columns, offset: 0 };
  }

  /** A pool buffer with the given words (tables, token ids), a multiple of 4 bytes; release it like a tensor's. */
  uploadWords(values: Float32Array | Uint32Array | Int32Array | Uint8Array, label: string): GPUBuffer {
    const buffer = this.pool.acquireForUpload(values.byteLength, label);
    if (!this.#estimate)
      this.device.queue.writeBuffer(buffer, 0, values.buffer, values.byteOffset, values.byteLength);
    return buffer;
  }

  /** Gives the tensor's buffer back. Work already recorded may still use it. */
  release(...tensors: readonly Tensor[]): void {
    for (const { buffer } of tensors) this.pool.release(buffer);
  }

  /**
   * Runs `work` and then releases every pool buffer that it acquired and did not `keep`, also when it throws: work may
   * be left half-way without leaking. One scope runs at a time, the next waits: so none may be opened within another, nor
   * in what is estimated.
   */
  async scope<T>(work: (keep: (...tensors: readonly Tensor[]) => void) => Promise<T>): Promise<T> {
    if (this.#callingOut)
      throw new NoticeError(
        'usage',
        'code that a run has called cannot start another run on the same device: that one would wait for this one to ' +
          'end. Compute before the run what is needed in it, or open a second device.',
      );
    const before = this.#scopes;
    let done = () => {};
    this.#scopes = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    const { serial } = this.#pool;
    const kept = new Set<GPUBuffer>();
    try {
      return await work((...tensors) => {
        for (const { buffer } of tensors) kept.add(buffer);
      });
    } catch (error) {
      kept.clear();
      throw error;
    } finally {
      for (const buffer of this.#pool.acquiredSince(serial))
        if (!kept.has(buffer)) this.#pool.release(buffer);
      done();
    }
  }

  /**
   * Calls code of a user in the middle of a scope. If it opens a scope before it first waits, this throws; what it opens
   * later cannot be told from what others ask for meanwhile.
   */
  callOut<T>(code: () => T): T {
    this.#callingOut = true;
    try {
      return code();
    } finally {
      this.#callingOut = false;
    }
  }

  /**
   * Records one kernel.
   *
   * @param flops floating-point operations of its result, a multiply-add counted as two; for estimates and progress
   */
  dispatch<L extends ParamLayout>(
    source: KernelSource<L>,
    buffers: readonly GPUBuffer[],
    params: ParamValues<L>,
    groups: readonly [number, number, number],
    flops = 0,
  ): void {
    if (this.#estimate) {
      this.#estimate.dispatch(source.name, flops);
      return;
    }
    this.#recorder.dispatch(this.#pipelines.get(source), buffers, params, groups, flops);
  }

  /** The whole text that a kernel compiles from on this device. */
  shaderText(source: KernelSource): string {
    return this.#pipelines.text(source);
  }

  /**
   * Runs what is recorded and reads tensors, in one round trip.
   *
   * @returns for each tensor its values row by row, without gaps
   * @throws what the device reported since the last read: DeviceLostError, OutOfMemoryError, GpuValidationError
   */
  async read(...tensors: readonly Tensor[]): Promise<Float32Array<ArrayBuffer>[]> {
    // Whoever reads what exists, beside an estimate, gets it.
    if (this.#estimate && tensors.some(({ buffer }) => !this.#pool.owns(buffer)))
      return tensors.map(({ rows, columns }) => new Float32Array(rows * columns));
    this.#throwFailure();
    const readback = new Readback(tensors);
    const staging = readback.bytes > 0 ? this.#staging.take(readback.bytes) : undefined;
    if (staging) readback.record((...copy) => this.#recorder.copy(...copy), staging);
    this.#recorder.submit();
    try {
      await this.#settle(() => (staging ? readback.map(staging) : this.device.queue.onSubmittedWorkDone()));
      const values = readback.values(staging);
      if (staging) this.#staging.give(staging);
      return values;
    } catch (error) {
      staging?.destroy();
      throw error;
    }
  }

  /** Submits what is recorded and waits until it has run. Throws as {@link read} does. */
  async finish(): Promise<void> {
    await this.read();
  }

  /**
   * GPU time of every kernel that `work` records.
   *
   * @returns undefined where the device has no timestamps
   */
  async profile(work: () => void | Promise<void>): Promise<KernelTime[] | undefined> {
    if (!this.capabilities.features.has('timestamp-query')) return undefined;
    this.#recorder.submit();
    const timer = new DispatchTimer(this.device);
    this.#recorder.timer = timer;
    try {
      await work();
      this.#recorder.submit();
    } finally {
      this.#recorder.timer = undefined;
    }
    return timer.finish();
  }

  /**
   * What `work` would cost. Everything happens but the work itself: nothing is recorded, buffers are only counted, and
   * reads give zeros. So a plan is made by the code that carries it out.
   */
  async estimate(work: () => Promise<void>): Promise<WorkEstimate> {
    const estimator = new WorkEstimator(this.#pool);
    await this.scope(async () => {
      this.#estimate = estimator;
      try {
        await work();
      } finally {
        this.#estimate = undefined;
      }
    });
    return estimator.result;
  }

  /** Tells `listener` of floating-point operations when they have been done, some seconds' or less at a time. */
  onWork(listener: ((flops: number) => void) | undefined): void {
    this.#workListener = listener;
  }

  /** Frees the device and all its buffers. */
  destroy(): void {
    this.#destroyed = true;
    this.device.destroy();
    void this.#keepAlive;
  }

  async #settle(wait: () => Promise<undefined>): Promise<void> {
    try {
      await wait();
      await Promise.all(this.#checks);
    } catch (cause) {
      await this.#lostSoon();
      this.#throwFailure();
      throw new GpuValidationError(
        `reading back failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
    this.#throwFailure();
  }

  /** Lets the report of a lost device, which may come just after a failed map, arrive first. */
  async #lostSoon(): Promise<void> {
    await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
  }

  /** A lost device stays lost; other failures are reported once. */
  #throwFailure(): void {
    const failure = this.#failure;
    if (!failure) return;
    if (!(failure instanceof DeviceLostError)) this.#failure = undefined;
    throw failure;
  }
}
