// Several works on one device: each gets what it would get alone, and hears of its own faults and no others.

import { describe, expect, it, vi } from 'vitest';
import {
  type Gpu,
  GpuValidationError,
  type KernelSource,
  OutOfMemoryError,
  ShaderError,
  type Tensor,
  type Work,
} from '../../src/gpu/index.ts';
import { testGpu } from '../support/gpu.ts';
import { SCALE } from './support.ts';

/** Records y = factor · x. */
function scaled(w: Work, x: Tensor, factor: number): Tensor {
  const y = w.empty(x.rows, x.columns, 'y');
  w.dispatch(SCALE, { x: x.buffer, y: y.buffer }, { count: x.columns, factor }, [1, 1, 1]);
  return y;
}

/** Tens of a number, and what comes of it. */
async function tens(w: Work, value: number): Promise<number> {
  const x = w.upload(Float32Array.of(value), 1, 1, 'x');
  const [values] = await w.read(scaled(w, x, 10));
  return values?.[0] as number;
}

/** Something that WebGPU refuses. */
function refused(gpu: Gpu, w: Work): void {
  const buffer = gpu.device.createBuffer({ label: 'no storage', size: 16, usage: 0x40 }); // UNIFORM
  w.dispatch(SCALE, { x: buffer, y: w.empty(1, 1, 'y').buffer }, { count: 1, factor: 1 }, [1, 1, 1]);
}

const used = (gpu: Gpu) => gpu.pool.statistics.usedBytes;

describe('a work', () => {
  it('gives back what it acquired, also when it throws; not what it kept', async () => {
    const gpu = await testGpu();
    const before = used(gpu);
    const kept = await gpu.work((w) => {
      const x = w.upload(Float32Array.of(1, 2), 1, 2, 'x');
      w.empty(100, 100, 'forgotten');
      const y = scaled(w, x, 3);
      w.keep(y);
      return y;
    });
    expect(used(gpu) - before).toBe(256);
    const failed = gpu.work((w) => {
      w.keep(w.empty(10, 10, 'kept by what fails'));
      throw new Error('half-way');
    });
    await expect(failed).rejects.toThrow('half-way');
    expect(used(gpu) - before).toBe(256);
    expect([...(await gpu.read(kept))[0]!]).toEqual([3, 6]);
    gpu.release(kept);
    expect(used(gpu)).toBe(before);
    expect(() => gpu.release(kept)).toThrow(/released twice/);
  });

  it('cannot be used when it has ended', async () => {
    const gpu = await testGpu();
    let late: Work | undefined;
    await gpu.work((w) => {
      late = w;
    });
    expect(() => late?.empty(1, 1, 'x')).toThrow(/has ended/);
  });

  it('reads a kept tensor although it is released before the work is submitted', async () => {
    const gpu = await testGpu();
    const kept = await gpu.work((w) => {
      const x = w.upload(Float32Array.of(7), 1, 1, 'x');
      w.keep(x);
      return x;
    });
    await gpu.work(async (w) => {
      const y = scaled(w, kept, 2);
      gpu.release(kept);
      w.upload(Float32Array.of(99), 1, 1, 'x');
      expect([...(await w.read(y))[0]!]).toEqual([14]);
    });
  });
});

describe('works of several callers', () => {
  it('have their turn one after the other', async () => {
    const gpu = await testGpu();
    const order: string[] = [];
    const work = (name: string) =>
      gpu.work(async (w) => {
        order.push(`${name} begins`);
        await tens(w, 1);
        order.push(`${name} ends`);
      });
    await Promise.all([work('a'), work('b'), work('c')]);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('each may take the whole memory budget', async () => {
    const gpu = await testGpu({ memoryBudget: 1 << 20 });
    const large = (value: number) =>
      gpu.work(async (w) => {
        const x = w.upload(new Float32Array(200_000).fill(value), 1, 200_000, 'most of the budget');
        return (await w.read(x))[0]?.at(-1);
      });
    expect(await Promise.all([1, 2, 3].map(large))).toEqual([1, 2, 3]);
  });

  it('go on while one is calling out, and are waited for by what it calls', async () => {
    const gpu = await testGpu();
    const found = await gpu.work(async (w) => {
      const x = w.upload(Float32Array.of(5), 1, 1, 'x');
      const y = scaled(w, x, 2);
      w.release(x);
      const inside = await w.callOut(async () => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        // One that waits within another that is called out of, too.
        return gpu.work((v) => v.callOut(() => gpu.work((u) => tens(u, 3))));
      });
      const [values] = await w.read(y);
      return [inside, values?.[0]];
    });
    expect(found).toEqual([30, 10]);
  });

  it('go on after code that was called out of a work threw', async () => {
    const gpu = await testGpu();
    const failed = gpu.work((w) =>
      w.callOut(() => {
        throw new Error('in a callback');
      }),
    );
    await expect(failed).rejects.toThrow('in a callback');
    expect(await gpu.work((w) => tens(w, 4))).toBe(40);
  });

  it('plan beside what is kept and what works that call out hold', async () => {
    const gpu = await testGpu({ memoryBudget: 1 << 20 });
    const whole = gpu.room.bytes;
    expect(whole).toBe(0.75 * 2 ** 20);
    await gpu.work(async (w) => {
      w.empty(1, 64 * 1024, 'held');
      expect(gpu.room.bytes).toBe(whole); // whoever plans waits for its end
      await w.callOut(() => expect(gpu.room.bytes).toBe(whole - 2 ** 18));
    });
    expect(gpu.room.bytes).toBe(whole);
  });
});

describe('counting', () => {
  it('waits for nobody and disturbs nobody', async () => {
    const gpu = await testGpu();
    const found = await gpu.work(async (w) => {
      const x = w.upload(Float32Array.of(2), 1, 1, 'x');
      const counting = gpu.count(async (v) => {
        const y = scaled(v, v.upload(Float32Array.of(1), 1, 1, 'x'), 3);
        await Promise.resolve();
        expect([...(await v.read(y))[0]!]).toEqual([0]);
        scaled(v, y, 3);
      });
      const y = scaled(w, x, 3);
      const { dispatches, peakBytes } = await counting;
      expect([dispatches, peakBytes]).toEqual([2, 3 * 256]);
      return (await w.read(y))[0]?.[0];
    });
    expect(found).toBe(6);
  });
});

describe('a fault', () => {
  it("of WebGPU's validation is told to the work in which it arose, and to no other", async () => {
    const gpu = await testGpu();
    const before = gpu.work((w) => tens(w, 1));
    const read = gpu.work(async (w) => {
      refused(gpu, w);
      return tens(w, 2);
    });
    const unread = gpu.work((w) => refused(gpu, w));
    const after = gpu.work((w) => tens(w, 3));
    await expect(read).rejects.toThrow(GpuValidationError);
    await expect(read).rejects.toThrow(/test_scale: .*"no storage"/);
    await expect(unread).rejects.toThrow(GpuValidationError);
    expect(await Promise.all([before, after])).toEqual([10, 30]);
  });

  it('is told by every read of its work', async () => {
    const gpu = await testGpu();
    await gpu
      .work(async (w) => {
        refused(gpu, w);
        await expect(tens(w, 1)).rejects.toThrow(GpuValidationError);
        await expect(tens(w, 1)).rejects.toThrow(GpuValidationError);
      })
      .then(
        () => expect.unreachable(),
        (error) => expect(error).toBeInstanceOf(GpuValidationError),
      );
  });

  it('in what a callback does is not one of the work that called it', async () => {
    const gpu = await testGpu();
    const found = await gpu.work(async (w) => {
      const x = w.upload(Float32Array.of(6), 1, 1, 'x');
      await w.callOut(() => expect(gpu.work((v) => refused(gpu, v))).rejects.toThrow(GpuValidationError));
      return (await w.read(scaled(w, x, 2)))[0]?.[0];
    });
    expect(found).toBe(12);
  });

  it('of memory leaves no buffer behind that others would get', async () => {
    const gpu = await testGpu();
    gpu.pool.trim(); // else a buffer of another test might serve
    // The device's refusals cannot be had at will, so one is made up: for the buffers of this work alone.
    const pop = gpu.device.popErrorScope.bind(gpu.device);
    const create = gpu.device.createBuffer.bind(gpu.device);
    let made: GPUBuffer | undefined;
    const creating = vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
      made = create(descriptor);
      return made;
    });
    const popping = vi.spyOn(gpu.device, 'popErrorScope').mockImplementation(async () => {
      await pop();
      return { message: 'made up' } as GPUError;
    });
    const failed = gpu.work(async (w) => {
      const x = w.empty(1, 77_777, 'x');
      popping.mockRestore();
      creating.mockRestore();
      return w.read(x);
    });
    await expect(failed).rejects.toThrow(OutOfMemoryError);
    await expect(failed).rejects.toThrow(/"x": the device could not allocate \d+ bytes/);
    const other = await gpu.work((w) => w.empty(1, 77_777, 'x').buffer);
    expect(other).not.toBe(made);
  });
});

describe('a kernel that does not compile', () => {
  const BROKEN: KernelSource = {
    name: 'broken',
    code: `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
      @compute @workgroup_size(1) fn main() {
        y[0] = unheard_of(1.0);
      }`,
    bindings: { y: 'read_write' },
    params: {},
  };

  it("fails every work that uses it, with its name, the compiler's message and the line; no other", async () => {
    const gpu = await testGpu();
    const use = (read: boolean) =>
      gpu.work(async (w) => {
        const y = w.empty(1, 1, 'y');
        w.dispatch(BROKEN, { y: y.buffer }, {}, [1, 1, 1]);
        if (read) await w.read(y);
      });
    const works = [use(true), use(false)];
    const other = gpu.work((w) => tens(w, 5));
    for (const work of [...works, use(true)]) {
      await expect(work).rejects.toThrow(ShaderError);
      await expect(work).rejects.toThrow(/the kernel broken does not compile\nline 3: .*unheard_of/s);
      await expect(work).rejects.toThrow(/y\[0\] = unheard_of\(1\.0\);/);
    }
    expect(await other).toBe(50);
  });

  it('fails the work in the same way where it has been counted before, and other kernels are compiled ahead', async () => {
    const gpu = await testGpu({ compileAhead: true });
    const [sync, async] = (['createComputePipeline', 'createComputePipelineAsync'] as const).map((name) =>
      vi.spyOn(gpu.device, name),
    );
    try {
      const broken = { ...BROKEN, name: 'broken, and counted' };
      // Kernels of their own: those that others compiled would not be compiled again.
      const kernels = [1, 2, 3].map((i) => ({ ...SCALE, name: `scale ${i}` }));
      const all = (w: Work) => {
        const x = w.upload(Float32Array.of(1), 1, 1, 'x');
        return kernels.map((kernel) => {
          const y = w.empty(1, 1, 'y');
          w.dispatch(kernel, { x: x.buffer, y: y.buffer }, { count: 1, factor: 3 }, [1, 1, 1]);
          return y;
        });
      };
      const failing = (w: Work) => {
        w.dispatch(broken, { y: w.empty(1, 1, 'y').buffer }, {}, [1, 1, 1]);
      };
      for (const body of [all, failing, all]) await gpu.count(body);
      expect(async).not.toHaveBeenCalled();
      const results = await Promise.all([1, 2].map(() => gpu.work((w) => w.read(...all(w)))));
      expect(results.flat().map(([value]) => value)).toEqual([3, 3, 3, 3, 3, 3]);
      expect(async).toHaveBeenCalledTimes(4);
      expect(sync).not.toHaveBeenCalled();
      const failed = gpu.work(failing);
      await expect(failed).rejects.toThrow(ShaderError);
      await expect(failed).rejects.toThrow(
        /the kernel broken, and counted does not compile\nline 3: .*unheard_of/s,
      );
    } finally {
      sync?.mockRestore();
      async?.mockRestore();
    }
  });

  it('says so of an override that is out of range, too', async () => {
    const gpu = await testGpu();
    const source = {
      ...BROKEN,
      name: 'too wide',
      code: 'override WIDTH: u32;\n@compute @workgroup_size(WIDTH) fn main() {}',
      bindings: {},
      constants: { WIDTH: 100_000 },
    } satisfies KernelSource;
    await expect(gpu.work((w) => w.dispatch(source, {}, {}, [1, 1, 1]))).rejects.toThrow(
      /the kernel too wide does not compile/,
    );
  });
});
