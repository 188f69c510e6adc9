import { describe, expect, it, vi } from 'vitest';
import { columnsOf, DeviceLostError, Gpu, OutOfMemoryError, type Tensor } from '../../src/gpu/index.ts';
import { Arena, BufferPool, bucketSize } from '../../src/gpu/pool.ts';
import { elapsed } from '../../src/gpu/timing.ts';
import { testGpu, testWork } from '../support/gpu.ts';
import { SCALE } from './support.ts';

describe.each([
  ['immediates', {}],
  ['a parameter buffer', { immediates: false }],
])('a device with parameters in %s', (_, options) => {
  it('runs recorded kernels in order and reads several tensors in one round trip', async () => {
    const w = await testWork(options);
    const x = w.upload(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3, 'x');
    const y = w.empty(2, 3, 'y');
    const z = w.empty(2, 3, 'z');
    w.dispatch(SCALE, { x: x.buffer, y: y.buffer }, { count: 6, factor: 10 }, [1, 1, 1]);
    w.dispatch(SCALE, { x: y.buffer, y: z.buffer }, { count: 6, factor: 0.5 }, [1, 1, 1]);
    const [first, last] = await w.read(columnsOf(y, 1, 2), z);
    expect([...first!]).toEqual([20, 30, 50, 60]);
    expect([...last!]).toEqual([5, 10, 15, 20, 25, 30]);
    w.release(x, y, z);
  });

  it('records more kernels than one submission holds', async () => {
    const w = await testWork(options);
    let x = w.upload(Float32Array.of(1), 1, 1, 'x');
    for (let i = 0; i < 600; i++) {
      const y = w.empty(1, 1, 'y');
      w.dispatch(SCALE, { x: x.buffer, y: y.buffer }, { count: 1, factor: i % 2 ? 0.5 : 2 }, [1, 1, 1]);
      w.release(x);
      x = y;
    }
    const [values] = await w.read(x);
    expect(values![0]).toBe(1);
    w.release(x);
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

  it('bind groups of the same kernel and buffers, also by later works', async () => {
    const gpu = await testGpu({ memoryBudget: 2 ** 27 });
    const { device } = gpu;
    const scale = (from: Tensor, to: Tensor) =>
      gpu.work((w) =>
        w.dispatch(SCALE, { x: from.buffer, y: to.buffer }, { count: 1, factor: 2 }, [1, 1, 1]),
      );
    // Of a size that no other test asks for, so that the buffers are new.
    const [x, y] = await gpu.work((w) => {
      const made = [w.upload(new Float32Array(99_999).fill(3), 1, 99_999, 'x'), w.empty(1, 99_999, 'y')];
      w.keep(...made);
      return made as [Tensor, Tensor];
    });
    await scale(x, y);
    expect(await callsOf(device, 'createBindGroup', () => scale(x, y))).toBe(0);
    expect(await callsOf(device, 'createBindGroup', () => scale(y, x))).toBe(1);
    expect((await gpu.read(x))[0]?.[0]).toBe(12);
    gpu.release(x, y);
  });

  it('also after more bind groups than are kept', async () => {
    const gpu = await testGpu();
    const w = await testWork();
    const y = w.empty(1, 1, 'y');
    const buffers = Array.from({ length: 5000 }, (_, i) => {
      const buffer = gpu.device.createBuffer({ size: 4, usage: 0x88 }); // STORAGE | COPY_DST
      gpu.device.queue.writeBuffer(buffer, 0, Float32Array.of(i));
      w.dispatch(SCALE, { x: buffer, y: y.buffer }, { count: 1, factor: 1 }, [1, 1, 1]);
      return buffer;
    });
    w.dispatch(SCALE, { x: buffers[17]!, y: y.buffer }, { count: 1, factor: 2 }, [1, 1, 1]);
    expect([...(await w.read(y))[0]!]).toEqual([34]);
    for (const buffer of buffers) buffer.destroy();
    w.release(y);
  });

  it('the buffer of a small read, but not by two reads at once', async () => {
    const gpu = await testGpu();
    const w = await testWork();
    const [x, y] = [2, 3].map((value) => w.upload(Float32Array.of(value), 1, 1, 'x')) as [Tensor, Tensor];
    await w.read(x);
    expect(await callsOf(gpu.device, 'createBuffer', () => w.read(y))).toBe(0);
    const [first, second] = await Promise.all([w.read(x), w.read(y)]);
    expect([first?.[0]?.[0], second?.[0]?.[0]]).toEqual([2, 3]);
    const large = w.upload(new Float32Array(2 ** 19).fill(5), 1, 2 ** 19, 'large');
    expect((await w.read(large))[0]?.at(-1)).toBe(5);
    expect((await w.read(x))[0]?.[0]).toBe(2);
    w.release(x, y, large);
  });
});

describe('the buffer pool', () => {
  it('does not hand a buffer that recorded work still reads to an upload', async () => {
    const w = await testWork();
    const x = w.upload(Float32Array.of(7), 1, 1, 'x');
    const y = w.empty(1, 1, 'y');
    w.dispatch(SCALE, { x: x.buffer, y: y.buffer }, { count: 1, factor: 1 }, [1, 1, 1]);
    w.release(x);
    const other = w.upload(Float32Array.of(99), 1, 1, 'other');
    const [values] = await w.read(y);
    expect(values![0]).toBe(7);
    w.release(y, other);
  });

  it('refuses what exceeds its budget, with numbers', async () => {
    const gpu = await testGpu({ memoryBudget: 1 << 20 });
    await gpu.work(async (w) => {
      expect(() => w.empty(1 << 20, 1, 'too big')).toThrow(OutOfMemoryError);
      expect(() => w.empty(1 << 20, 1, 'too big')).toThrow(
        /"too big" needs 4194304 bytes.*budget of 1048576/,
      );
      w.release(w.empty(1 << 17, 1, 'half'));
      w.empty(200_000, 1, 'only fits where "half" was');
      expect(gpu.pool.statistics.allocatedBytes).toBeLessThanOrEqual(1 << 20);
    });
  });

  it('has no buffer that is larger than what the device binds', async () => {
    const sizes: number[] = [];
    const arena = new Arena(
      new BufferPool({ budget: 2 ** 40, largest: 134_217_724 }),
      (size, label) => {
        sizes.push(size);
        return { size, label } as GPUBuffer;
      },
      () => {},
    );
    arena.acquire(134_217_720, 'as large as can be');
    arena.acquire(130_000_000, 'rounded up');
    expect(sizes).toEqual([134_217_724, 134_217_724]);
    expect(() => arena.acquire(134_217_728, 'larger')).toThrow(OutOfMemoryError);
    expect(() => arena.acquire(134_217_728, 'larger')).toThrow(
      /"larger" needs 134217728 bytes in one buffer; this device binds 134217724 at most/,
    );
  });

  it('and the plan of a work know what the device binds', async () => {
    const gpu = await testGpu({ memoryBudget: 1 << 20 }); // no work holds its turn
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities.limits;
    const largest = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    expect(gpu.room.largestBytes).toBe(largest);
    const { largestBytes } = await gpu.count((w) => w.acquire(largest - 4, 'as large as can be'));
    expect(largestBytes).toBe(largest);
    await expect(gpu.work((w) => w.acquire(largest + 4, 'larger'))).rejects.toThrow(OutOfMemoryError);
  });

  it('notices a double release', async () => {
    const w = await testWork();
    const x = w.empty(1, 1, 'x');
    w.release(x);
    expect(() => w.release(x)).toThrow(/released twice/);
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

describe('profiles', () => {
  it('count zero and reversed timestamps as absent', () => {
    expect(elapsed(0n, 5n)).toBeUndefined();
    expect(elapsed(9n, 5n)).toBeUndefined();
    expect(elapsed(1_000_000n, 3_000_000n)).toBe(2);
  });

  it('tell the time of kernels where the device has timestamps', async () => {
    const w = await testWork();
    const [x, y] = [w.upload(Float32Array.of(1), 1, 1, 'x'), w.empty(1, 1, 'y')];
    const times = await w.profile(() =>
      w.dispatch(SCALE, { x: x.buffer, y: y.buffer }, { count: 1, factor: 1 }, [1, 1, 1]),
    );
    if (w.capabilities.features.has('timestamp-query'))
      expect(times?.map((time) => time.kernel)).toEqual(['test_scale']);
    else expect(times).toBeUndefined();
    w.release(x, y);
  });

  it('free their queries, whatever happens', async () => {
    const w = await testWork();
    const { device } = await testGpu();
    if (!w.capabilities.features.has('timestamp-query')) return;
    const made: { destroy: ReturnType<typeof vi.spyOn> }[] = [];
    for (const method of ['createQuerySet', 'createBuffer'] as const) {
      const create = device[method].bind(device) as (descriptor: unknown) => { destroy(): void };
      vi.spyOn(device, method).mockImplementation(((descriptor: unknown) => {
        const object = create(descriptor);
        made.push({ destroy: vi.spyOn(object, 'destroy') });
        return object;
      }) as never);
    }
    await w.profile(() => {});
    await expect(
      w.profile(() => {
        throw new Error('in the middle');
      }),
    ).rejects.toThrow('in the middle');
    vi.restoreAllMocks();
    expect(made.length).toBeGreaterThanOrEqual(4);
    for (const { destroy } of made) expect(destroy).toHaveBeenCalled();
  });
});

it('names a buffer that no device of this kind can hold', async () => {
  const gpu = await testGpu();
  await expect(gpu.createBuffer(2 ** 40, 0x80, 'giant')).rejects.toThrow(/"giant".*maxBufferSize/);
});

it('a device that is lost while it is opened is an error, not a wait, whatever it answers meanwhile', async () => {
  const features = new Set(['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix']);
  const matrix = { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 };
  const info = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [matrix] };
  for (const popErrorScope of [
    () => new Promise(() => {}),
    () => Promise.reject(new Error('the instance is gone')),
  ]) {
    const lost = new Promise((gone) =>
      setTimeout(() => gone({ reason: 'unknown', message: 'it fell off' }), 10),
    );
    const device = { lost, popErrorScope, pushErrorScope: () => {}, createShaderModule: () => {} };
    const adapter = { features, info, limits: {}, requestDevice: async () => device };
    const opening = Gpu.create(adapter as unknown as GPUAdapter, {} as GPU, { subgroupMatrices: true });
    await expect(opening).rejects.toThrow(DeviceLostError);
    await expect(opening).rejects.toThrow(/it fell off/);
  }
});
