import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { type Gpu, GpuValidationError, type KernelSource, NoAdapterError } from '../../src/gpu/index.ts';
import { openGpu } from '../../src/platform/browser/adapter.ts';
import { writeTuning } from '../../src/platform/browser/tuning.ts';

/** sums[r] = factor · Σ_c x[r, c], one workgroup per row. */
const ROW_SUM = {
  name: 'test_row_sum',
  code: `
    struct Params { columns: u32, factor: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> sums: array<f32>;
    var<workgroup> partial: array<f32, 64>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
      var sum = 0.0;
      for (var c = thread; c < params.columns; c += 64) { sum += x[group.x * params.columns + c]; }
      partial[thread] = sum;
      workgroupBarrier();
      if (thread == 0) {
        for (var i = 1u; i < 64; i++) { sum += partial[i]; }
        sums[group.x] = params.factor * sum;
      }
    }`,
  bindings: { x: 'read', sums: 'read_write' },
  params: { columns: 'u32', factor: 'f32' },
} as const satisfies KernelSource;

describe('a device in the browser', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu();
  });
  afterAll(() => gpu?.destroy());

  it('takes the choices of kernels that were measured in this browser', async () => {
    const table = {
      'software matmul row f32': { kernel: 'matmul_portable', rows: 1, columns: 8, threads: 32 },
    };
    await writeTuning(gpu.capabilities, table);
    const tuned = await openGpu();
    expect(tuned.capabilities.tuning).toEqual(table);
    tuned.destroy();
    await writeTuning(gpu.capabilities, {});
  });

  it('runs recorded kernels and reads their results', async () => {
    const rows = 7;
    const columns = 150;
    // Small integers: every sum is exact in f32, whatever its order.
    const values = Float32Array.from({ length: rows * columns }, (_, i) => (i * 37) % 101);
    const expected = Array.from({ length: rows }, (_, row) =>
      values.subarray(row * columns, (row + 1) * columns).reduce((sum, value) => sum + value, 0),
    );
    const [ofRows, ofAll] = await gpu.work((w) => {
      const x = w.upload(values, rows, columns, 'x');
      const sums = w.empty(1, rows, 'sums');
      const total = w.empty(1, 1, 'total');
      w.dispatch(ROW_SUM, { x: x.buffer, sums: sums.buffer }, { columns, factor: -2 }, [rows, 1, 1]);
      w.dispatch(ROW_SUM, { x: sums.buffer, sums: total.buffer }, { columns: rows, factor: 0.5 }, [1, 1, 1]);
      return w.read(sums, total);
    });
    expect([...ofRows!]).toEqual(expected.map((sum) => -2 * sum));
    expect([...ofAll!]).toEqual([-expected.reduce((a, b) => a + b)]);
  });

  it('knows what the adapter can do', async () => {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
    const { vendor, architecture, software, features, limits } = gpu.capabilities;
    expect([vendor, architecture]).toEqual([adapter!.info.vendor, adapter!.info.architecture]);
    for (const feature of ['shader-f16', 'subgroups', 'timestamp-query'] as const)
      expect(features.has(feature), feature).toBe(adapter!.features.has(feature));
    for (const limit of ['maxBufferSize', 'maxStorageBufferBindingSize'] as const)
      expect(limits[limit], limit).toBe(adapter!.limits[limit]);
    expect(software).toBe(adapter!.info.isFallbackAdapter);
    if (inject('bundledChromium')) expect([architecture, software]).toEqual(['swiftshader', true]);
  });

  it('gives the kind of adapter that is asked for, or says that there is none', async () => {
    const { software } = gpu.capabilities;
    const same = await openGpu({ adapter: software ? 'software' : 'hardware' });
    expect(same.capabilities.software).toBe(software);
    same.destroy();
    if (software) {
      const refusal = openGpu({ adapter: 'hardware' });
      await expect(refusal).rejects.toThrow(NoAdapterError);
      await expect(refusal).rejects.toThrow(/no hardware WebGPU adapter, only "swiftshader".*settings/);
    }
  });

  it('tells the work that WebGPU refuses, and no other', async () => {
    const foreign = gpu.device.createBuffer({ size: 16, usage: 0x40 }); // UNIFORM
    const refused = gpu.work((w) => {
      w.copy(w.empty(1, 1, 'x').buffer, 0, foreign, 0, 4);
    });
    const other = gpu.work((w) => w.read(w.upload(Float32Array.of(1), 1, 1, 'x')));
    await expect(refused).rejects.toThrow(GpuValidationError);
    await expect(other).resolves.toEqual([Float32Array.of(1)]);
  });
});

describe('a page without an adapter', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  async function refusal(): Promise<NoAdapterError> {
    const error = await openGpu().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NoAdapterError);
    return error as NoAdapterError;
  }

  it('learns which browsers have WebGPU', async () => {
    vi.spyOn(navigator, 'gpu', 'get').mockReturnValue(undefined as unknown as GPU);
    expect((await refusal()).message).toMatch(/navigator\.gpu is missing.*Chrome.*Firefox/);
  });

  it('learns that WebGPU needs a secure page', async () => {
    vi.spyOn(navigator, 'gpu', 'get').mockReturnValue(undefined as unknown as GPU);
    vi.stubGlobal('isSecureContext', false);
    expect((await refusal()).message).toContain(`${location.origin} is not one: open the page by https://`);
  });

  it('learns how to turn the adapter on', async () => {
    vi.spyOn(navigator.gpu, 'requestAdapter').mockResolvedValue(null);
    expect((await refusal()).message).toMatch(/has WebGPU but no adapter.*graphics acceleration/);
  });
});
