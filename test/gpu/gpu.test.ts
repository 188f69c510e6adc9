import { describe, expect, it, vi } from 'vitest';
import {
  columnsOf,
  GpuValidationError,
  type KernelSource,
  OutOfMemoryError,
  type Tensor,
} from '../../src/gpu/index.ts';
import { bucketSize } from '../../src/gpu/pool.ts';
import { elapsed } from '../../src/gpu/timing.ts';
import { testGpu } from '../support/gpu.ts';

const SCALE = {
  name: 'test_scale',
  code: `
    struct Params { count: u32, factor: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.count) { y[id.x] = params.factor * x[id.x]; }
    }`,
  bindings: ['read', 'read_write'],
  params: { count: 'u32', factor: 'f32' },
} as const satisfies KernelSource;

describe.each([
  ['immediates', {}],
  ['a parameter buffer', { immediates: false }],
])('a device with parameters in %s', (_, options) => {
  it('runs recorded kernels in order and reads several tensors in one round trip', async () => {
    const gpu = await testGpu(options);
    const x = gpu.upload(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3, 'x');
    const y = gpu.empty(2, 3, 'y');
    const z = gpu.empty(2, 3, 'z');
    gpu.dispatch(SCALE, [x.buffer, y.buffer], { count: 6, factor: 10 }, [1, 1, 1]);
    gpu.dispatch(SCALE, [y.buffer, z.buffer], { count: 6, factor: 0.5 }, [1, 1, 1]);
    const [first, last] = await gpu.read(columnsOf(y, 1, 2), z);
    expect([...first!]).toEqual([20, 30, 50, 60]);
    expect([...last!]).toEqual([5, 10, 15, 20, 25, 30]);
    gpu.release(x, y, z);
  });

  it('records more kernels than one submission holds', async () => {
    const gpu = await testGpu(options);
    let x = gpu.upload(Float32Array.of(1), 1, 1, 'x');
    for (let i = 0; i < 600; i++) {
      const y = gpu.empty(1, 1, 'y');
      gpu.dispatch(SCALE, [x.buffer, y.buffer], { count: 1, factor: i % 2 ? 0.5 : 2 }, [1, 1, 1]);
      gpu.release(x);
      x = y;
    }
    const [values] = await gpu.read(x);
    expect(values![0]).toBe(1);
    gpu.release(x);
  });
});

describe('what is used again', () => {
  /** How often `work` calls a method of the device. */
  async function callsOf(
    device: GPUDevice,
    method: 'createBindGroup' | 'createBuffer',
    work: () => Promise<unknown>,
  ) {
    const spy = vi.spyOn(device, method);
    await work();
    const { length } = spy.mock.calls;
    spy.mockRestore();
    return length;
  }

  it('bind groups of the same kernel and buffers', async () => {
    const gpu = await testGpu();
    // Of a size that no other test asks for, so that the buffers are new.
    const [x, y] = [gpu.upload(new Float32Array(99_999).fill(3), 1, 99_999, 'x'), gpu.empty(1, 99_999, 'y')];
    const scale = (from: GPUBuffer, to: GPUBuffer) => {
      gpu.dispatch(SCALE, [from, to], { count: 1, factor: 2 }, [1, 1, 1]);
      return gpu.finish();
    };
    await scale(x.buffer, y.buffer);
    expect(await callsOf(gpu.device, 'createBindGroup', () => scale(x.buffer, y.buffer))).toBe(0);
    expect(await callsOf(gpu.device, 'createBindGroup', () => scale(y.buffer, x.buffer))).toBe(1);
    expect((await gpu.read(x))[0]?.[0]).toBe(12);
    gpu.release(x, y);
  });

  it('also after more bind groups than are kept', async () => {
    const gpu = await testGpu();
    const y = gpu.empty(1, 1, 'y');
    const buffers = Array.from({ length: 5000 }, (_, i) => {
      const buffer = gpu.device.createBuffer({ size: 4, usage: 0x88 }); // STORAGE | COPY_DST
      gpu.device.queue.writeBuffer(buffer, 0, Float32Array.of(i));
      gpu.dispatch(SCALE, [buffer, y.buffer], { count: 1, factor: 1 }, [1, 1, 1]);
      return buffer;
    });
    gpu.dispatch(SCALE, [buffers[17]!, y.buffer], { count: 1, factor: 2 }, [1, 1, 1]);
    expect([...(await gpu.read(y))[0]!]).toEqual([34]);
    for (const buffer of buffers) buffer.destroy();
    gpu.release(y);
  });

  it('the buffer of a small read, but not by two reads at once', async () => {
    const gpu = await testGpu();
    const [x, y] = [2, 3].map((value) => gpu.upload(Float32Array.of(value), 1, 1, 'x')) as [Tensor, Tensor];
    await gpu.read(x);
    expect(await callsOf(gpu.device, 'createBuffer', () => gpu.read(y))).toBe(0);
    const [first, second] = await Promise.all([gpu.read(x), gpu.read(y)]);
    expect([first?.[0]?.[0], second?.[0]?.[0]]).toEqual([2, 3]);
    const large = gpu.upload(new Float32Array(2 ** 19).fill(5), 1, 2 ** 19, 'large');
    expect((await gpu.read(large))[0]?.at(-1)).toBe(5);
    expect((await gpu.read(x))[0]?.[0]).toBe(2);
    gpu.release(x, y, large);
  });
});

describe('the buffer pool', () => {
  it('does not hand a buffer that recorded work still reads to an upload', async () => {
    const gpu = await testGpu();
    const x = gpu.upload(Float32Array.of(7), 1, 1, 'x');
    const y = gpu.empty(1, 1, 'y');
    gpu.dispatch(SCALE, [x.buffer, y.buffer], { count: 1, factor: 1 }, [1, 1, 1]);
    gpu.release(x);
    const other = gpu.upload(Float32Array.of(99), 1, 1, 'other');
    const [values] = await gpu.read(y);
    expect(values![0]).toBe(7);
    gpu.release(y, other);
  });

  it('refuses what exceeds its budget, with numbers', async () => {
    const gpu = await testGpu({ memoryBudget: 1 << 20 });
    expect(() => gpu.empty(1 << 20, 1, 'too big')).toThrow(OutOfMemoryError);
    expect(() => gpu.empty(1 << 20, 1, 'too big')).toThrow(
      /"too big" needs 4194304 bytes.*budget of 1048576/,
    );
    const held = gpu.empty(1 << 17, 1, 'half');
    gpu.release(held);
    await gpu.finish();
    const other = gpu.empty(200_000, 1, 'only fits where "half" was');
    expect(gpu.pool.statistics.allocatedBytes).toBeLessThanOrEqual(1 << 20);
    gpu.release(other);
  });

  it('notices a double release', async () => {
    const gpu = await testGpu();
    const x = gpu.empty(1, 1, 'x');
    gpu.release(x);
    expect(() => gpu.release(x)).toThrow(/released twice/);
  });

  it('rounds sizes so that at most an eighth is wasted', () => {
    for (const bytes of [1, 255, 256, 257, 4096, 5000, 123_456_789]) {
      const size = bucketSize(bytes);
      expect(size % 256).toBe(0);
      expect(size).toBeGreaterThanOrEqual(bytes);
      if (bytes > 4096) expect(size).toBeLessThanOrEqual(bytes * 1.125 + 256);
    }
  });
});

describe('failures', () => {
  it('reports a command that WebGPU refuses at the next read, once', async () => {
    const gpu = await testGpu();
    gpu.device.createBuffer({ size: 16, usage: 0 });
    const x = gpu.upload(Float32Array.of(1), 1, 1, 'x');
    await expect(gpu.read(x)).rejects.toThrow(GpuValidationError);
    await expect(gpu.read(x)).resolves.toHaveLength(1);
    gpu.release(x);
  });

  it('names a buffer that no device of this kind can hold', async () => {
    const gpu = await testGpu();
    expect(() => gpu.createBuffer(2 ** 40, 0x80, 'giant')).toThrow(/"giant".*maxBufferSize/);
  });

  it('counts zero and reversed timestamps as absent', () => {
    expect(elapsed(0n, 5n)).toBeUndefined();
    expect(elapsed(9n, 5n)).toBeUndefined();
    expect(elapsed(1_000_000n, 3_000_000n)).toBe(2);
  });

  it('profiles kernels where the device has timestamps', async () => {
    const gpu = await testGpu();
    const x = gpu.upload(Float32Array.of(1), 1, 1, 'x');
    const y = gpu.empty(1, 1, 'y');
    const times = await gpu.profile(() =>
      gpu.dispatch(SCALE, [x.buffer, y.buffer], { count: 1, factor: 1 }, [1, 1, 1]),
    );
    if (gpu.capabilities.features.has('timestamp-query'))
      expect(times?.map((time) => time.kernel)).toEqual(['test_scale']);
    else expect(times).toBeUndefined();
    gpu.release(x, y);
  });
});
