import { beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { isQuantized, type QuantizedWeight } from '../../src/kernels/index.ts';
import {
  Checkpoint,
  f32ToBf16,
  f32ToF16,
  type HostTensor,
  WeightLoader,
  type WeightLoaderOptions,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { readQuantized } from '../kernels/quantized-support.ts';
import { bf16Value, f16Value, int8, nf4, toRows } from '../reference/index.ts';
import { expectSameBits } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { MemoryFolder } from './support.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

async function loaderOf(tensors: Record<string, HostTensor>, options: WeightLoaderOptions) {
  const file = writeSafetensors(new Map(Object.entries(tensors)));
  return new WeightLoader(
    gpu,
    await Checkpoint.open(new MemoryFolder({ 'model.safetensors': file })),
    options,
  );
}

/** A tensor in a file, and the f32 values that it holds. */
function tensor(dtype: 'F64' | 'F32' | 'F16' | 'BF16', rows: number, columns: number, seed = 1) {
  const shape = [rows, columns];
  const drawn = new Random(seed).vector(rows * columns);
  switch (dtype) {
    case 'F64':
      return { file: { dtype, shape, data: new Float64Array(drawn) }, values: drawn };
    case 'F32':
      return { file: { dtype, shape, data: drawn }, values: drawn };
    case 'F16': {
      const data = f32ToF16(drawn);
      return { file: { dtype, shape, data }, values: Float32Array.from(data, f16Value) };
    }
    case 'BF16': {
      const data = f32ToBf16(drawn);
      return { file: { dtype, shape, data }, values: Float32Array.from(data, bf16Value) };
    }
  }
}

function quantized(weight: Awaited<ReturnType<WeightLoader['linear']>>): QuantizedWeight {
  if (!isQuantized(weight)) throw new Error(`${weight.name} is ${weight.type}`);
  return weight;
}

const layout = (weight: QuantizedWeight) =>
  weight.parts.map(({ firstRow, rows, buffer, scales }) => [firstRow, rows, buffer.size, scales.size]);

describe('a linear layer', () => {
  const cases = (['F64', 'F32', 'F16', 'BF16'] as const).flatMap((dtype) =>
    (['nf4', 'int8'] as const).map((type) => [dtype, type] as const),
  );
  it.each(cases)('of %s becomes %s', async (dtype, type) => {
    const { file, values } = tensor(dtype, 37, 50);
    const loader = await loaderOf({ w: file }, { type });
    const weight = quantized(await loader.linear('w', { rows: 37, columns: 50 }));
    const expected = type === 'nf4' ? nf4(values) : int8(toRows(values, 50));
    const stride = type === 'nf4' ? 56 : 52;
    expect(weight).toMatchObject({ name: 'w', type, rows: 37, columns: 50, stride });
    const { codes, scales } = await gpu.work((w) => readQuantized(w, weight));
    expectSameBits(scales, expected.scales);
    expect(codes).toEqual(expected.codes);
    // 1850 elements in 29 blocks; 8 or 4 codes in a word.
    expect(loader.bytes).toBe(type === 'nf4' ? 37 * 28 + 4 * 29 : 37 * 52 + 4 * 37);
    loader.destroy();
    expect(loader.bytes).toBe(0);
  });

  it('is as stored unless a quantised type is asked for, and other matrices are so anyway', async () => {
    const { file } = tensor('F16', 4, 8);
    const plain = await loaderOf({ w: file }, {});
    expect(await plain.linear('w', { rows: 4, columns: 8 })).toMatchObject({ type: 'f16', stride: 8 });
    const loader = await loaderOf({ w: file }, { type: 'nf4' });
    expect(await loader.matrix('w', { rows: 4, columns: 8 })).toMatchObject({ type: 'f16', stride: 8 });
    plain.destroy();
    loader.destroy();
  });

  it('of several tensors has blocks of each by itself', async () => {
    const columns = 48; // 4 rows are 3 blocks
    const [q, k, v] = [
      tensor('F32', 8, columns, 1),
      tensor('F16', 5, columns, 2),
      tensor('F32', 7, columns, 3),
    ];
    const loader = await loaderOf({ q: q.file, k: k.file, v: v.file }, { type: 'nf4' });
    const weight = quantized(await loader.linear(['q', 'k', 'v'], { rows: 20, columns }));
    // q ends with a block, k within one, so v begins a part.
    expect(layout(weight)).toEqual([
      [0, 13, 13 * 24, 4 * 10],
      [13, 7, 7 * 24, 4 * 6],
    ]);
    const { codes, scales } = await gpu.work((w) => readQuantized(w, weight));
    const each = [q, k, v].map(({ values }) => nf4(values));
    expect([...codes]).toEqual(each.flatMap((one) => [...one.codes]));
    expect([...scales]).toEqual(each.flatMap((one) => [...one.scales]));
    loader.destroy();
  });

  it('is split into parts that begin with a block', async () => {
    const columns = 48; // 4 rows, which are 3 blocks, take 96 bytes
    const { file, values } = tensor('BF16', 30, columns);
    const loader = await loaderOf({ w: file }, { type: 'nf4', maxPartBytes: 96 * 3 + 95 });
    const weight = quantized(await loader.linear('w', { rows: 30, columns }));
    expect(layout(weight)).toEqual([
      [0, 12, 288, 36],
      [12, 12, 288, 36],
      [24, 6, 144, 20],
    ]);
    const { codes, scales } = await gpu.work((w) => readQuantized(w, weight));
    const expected = nf4(values);
    expect(codes).toEqual(expected.codes);
    expectSameBits(scales, expected.scales);
    loader.destroy();
  });

  it.each(['nf4', 'int8'] as const)('of more than one chunk arrives whole as %s', async (type) => {
    const columns = 1030; // chunks of 1017 rows; for NF4 of 992, since 32 rows begin with a block
    const { file, values } = tensor('F16', 2100, columns);
    const loader = await loaderOf({ w: file }, { type, maxPartBytes: 700_000 });
    const weight = quantized(await loader.linear('w', { rows: 2100, columns }));
    expect(weight.parts.length).toBeGreaterThan(1);
    const { codes, scales } = await gpu.work((w) => readQuantized(w, weight));
    const expected = type === 'nf4' ? nf4(values) : int8(toRows(values, columns));
    expectSameBits(scales, expected.scales);
    expect(codes.findIndex((code, i) => code !== expected.codes[i])).toBe(-1);
    loader.destroy();
  });

  it.each(['nf4', 'int8'] as const)(
    'that is not finite is refused as %s, and the device goes on',
    async (type) => {
      const { file, values } = tensor('F32', 5, 70);
      const data = file.data as Float32Array<ArrayBuffer>;
      data[200] = Number.POSITIVE_INFINITY;
      const good = tensor('F32', 5, 70);
      const loader = await loaderOf({ bad: file as HostTensor, good: good.file }, { type });
      const refusal = loader.linear('bad', { rows: 5, columns: 70 });
      await expect(refusal).rejects.toThrow(WeightsError);
      await expect(refusal).rejects.toThrow(
        /model\.safetensors: tensor "bad" holds a value that is not finite/,
      );
      const weight = quantized(await loader.linear('good', { rows: 5, columns: 70 }));
      expect((await gpu.work((w) => readQuantized(w, weight))).codes.length).toBe(values.length);
      loader.destroy();
      await gpu.finish();
    },
  );

  it('that cannot be read leaves nothing behind that the device trips over', async () => {
    const { file } = tensor('F32', 4096, 1024);
    const folder = new MemoryFolder({ 'model.safetensors': writeSafetensors(new Map([['w', file]])) });
    const open = folder.open.bind(folder);
    let reads = 0;
    folder.open = async (name) => {
      const source = await open(name);
      return (
        source && {
          ...source,
          read: async (offset, length) => {
            if (length > 100_000 && ++reads > 2) throw new Error('the disk is gone');
            return source.read(offset, length);
          },
        }
      );
    };
    const loader = new WeightLoader(gpu, await Checkpoint.open(folder), { type: 'nf4' });
    await expect(loader.linear('w', { rows: 4096, columns: 1024 })).rejects.toThrow('the disk is gone');
    loader.destroy();
    await gpu.finish();
  });

  it('whose rows that belong together are larger than a binding is refused', async () => {
    const loader = await loaderOf({ w: tensor('F32', 64, 33).file }, { type: 'nf4', maxPartBytes: 1000 });
    await expect(loader.linear('w', { rows: 64, columns: 33 })).rejects.toThrow(
      /"w": 64 rows, which begin with a block, take 1280 bytes as nf4; .* has 1000/,
    );
  });
});
