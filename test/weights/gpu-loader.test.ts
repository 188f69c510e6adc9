import { beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import {
  bf16ToF32,
  Checkpoint,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  type HostTensor,
  WeightLoader,
  type WeightLoaderOptions,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { testGpu } from '../support/gpu.ts';
import { fixture, MemoryFolder, readBuffer, readWeight } from './support.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

/** Values that differ everywhere, exact in every float type: 0, 1/8, … 31.875. */
const ramp = (length: number, first = 0) => Float32Array.from({ length }, (_, i) => ((first + i) % 256) / 8);

async function loaderOf(tensors: Record<string, HostTensor>, options?: WeightLoaderOptions) {
  const file = writeSafetensors(new Map(Object.entries(tensors)));
  return new WeightLoader(
    gpu,
    await Checkpoint.open(new MemoryFolder({ 'model.safetensors': file })),
    options,
  );
}

/** Row-major values with every row filled up with zeros. */
function padded(values: Float32Array, columns: number, stride: number): Float32Array {
  const rows = Array.from({ length: values.length / columns }, (_, row) => [
    ...values.slice(row * columns, (row + 1) * columns),
    ...new Array<number>(stride - columns).fill(0),
  ]);
  return Float32Array.from(rows.flat());
}

describe('a matrix', () => {
  const STORED: Record<string, (values: Float32Array, shape: number[]) => HostTensor> = {
    F64: (values, shape) => ({ dtype: 'F64', shape, data: new Float64Array(values) }),
    F32: (values, shape) => ({ dtype: 'F32', shape, data: new Float32Array(values) }),
    F16: (values, shape) => ({ dtype: 'F16', shape, data: f32ToF16(values) }),
    BF16: (values, shape) => ({ dtype: 'BF16', shape, data: f32ToBf16(values) }),
  };
  const LOADED = {
    f32: (bytes: ArrayBuffer) => new Float32Array(bytes),
    f16: (bytes: ArrayBuffer) => f16ToF32(new Uint16Array(bytes)),
    bf16: (bytes: ArrayBuffer) => bf16ToF32(new Uint16Array(bytes)),
  };

  const DEFAULT = { F64: 'f32', F32: 'f32', F16: 'f16', BF16: 'bf16' } as const;
  const cases = (['F64', 'F32', 'F16', 'BF16'] as const).flatMap((stored) =>
    ([undefined, 'f32', 'f16', 'bf16'] as const).map((type) => ({ stored, type })),
  );
  it.each(cases)(
    'of $stored is loaded as $type, rows filled up to a multiple of 4',
    async ({ stored, type }) => {
      for (const [rows, columns, stride] of [
        [5, 8, 8],
        [40, 37, 40],
        [3, 1, 4],
      ] as const) {
        const values = ramp(rows * columns);
        const loader = await loaderOf({ w: STORED[stored]!(values, [rows, columns]) }, { type });
        const weight = await loader.matrix('w', { rows, columns });
        const expectedType = type ?? DEFAULT[stored];
        expect(weight).toMatchObject({ name: 'w', type: expectedType, rows, columns, stride });
        expect(weight.parts).toMatchObject([{ firstRow: 0, rows }]);
        const bytes = await readWeight(gpu, weight);
        expect(bytes.length).toBe(rows * stride * (expectedType === 'f32' ? 4 : 2));
        expect(loader.bytes).toBe(bytes.length);
        expect(LOADED[expectedType](bytes.buffer)).toEqual(padded(values, columns, stride));
        loader.destroy();
        expect(loader.bytes).toBe(0);
      }
    },
  );

  it('stored as it is keeps every bit, NaN payloads too', async () => {
    const data = new Float32Array(4);
    new Uint32Array(data.buffer).set([0x7f800001, 0xffc12345, 0x80000000, 0x00000001]);
    const halves = Uint16Array.of(0x7c01, 0xfe34, 0x8000, 0x0001);
    const loader = await loaderOf({
      single: { dtype: 'F32', shape: [1, 4], data },
      half: { dtype: 'F16', shape: [1, 4], data: halves },
      brain: { dtype: 'BF16', shape: [1, 4], data: halves },
    });
    const size = { rows: 1, columns: 4 };
    expect((await readWeight(gpu, await loader.matrix('single', size))).buffer).toEqual(data.buffer);
    expect((await readWeight(gpu, await loader.matrix('half', size))).buffer).toEqual(halves.buffer);
    expect((await readWeight(gpu, await loader.matrix('brain', size))).buffer).toEqual(halves.buffer);
    loader.destroy();
  });

  it('is split into parts where a binding ends, whatever chunks and tensors it came in', async () => {
    const columns = 6;
    const tensors = {
      q: STORED.F32!(ramp(7 * columns), [7, columns]),
      k: STORED.F32!(ramp(4 * columns, 7 * columns), [4, 2, 3]),
      v: STORED.F32!(ramp(columns, 11 * columns), [columns]),
    };
    // Rows take 8 · 4 bytes, so 5 of them fit.
    const loader = await loaderOf(tensors, { maxPartBytes: 5 * 32 + 31 });
    const weight = await loader.matrix(['q', 'k', 'v'], { rows: 12, columns });
    expect(weight.name).toBe('q + k + v');
    expect(weight.parts.map(({ firstRow, rows, buffer }) => [firstRow, rows, buffer.size])).toEqual([
      [0, 5, 160],
      [5, 5, 160],
      [10, 2, 64],
    ]);
    expect(new Float32Array((await readWeight(gpu, weight)).buffer)).toEqual(
      padded(ramp(12 * columns), columns, 8),
    );
    expect(loader.bytes).toBe(384);
    loader.destroy();
  });

  it('of more than one chunk arrives whole', async () => {
    const rows = 1500;
    const columns = 4099; // chunks of 255 rows, parts of 609: they end at different rows
    const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.fround(Math.sin(i)));
    const loader = await loaderOf(
      { w: STORED.F32!(values, [rows, columns]) },
      { type: 'f16', maxPartBytes: 5e6 },
    );
    const weight = await loader.matrix('w', { rows, columns });
    expect(weight.parts.length).toBe(3);
    const found = new Uint16Array((await readWeight(gpu, weight)).buffer);
    const halves = f32ToF16(values);
    let wrong = 0;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < 4100; column++)
        if (found[row * 4100 + column] !== (column < columns ? halves[row * columns + column] : 0)) wrong++;
    expect(wrong).toBe(0);
    loader.destroy();
  });

  it('joins types without loss', async () => {
    const loader = await loaderOf({ a: STORED.F16!(ramp(4), [1, 4]), b: STORED.BF16!(ramp(4, 4), [1, 4]) });
    const weight = await loader.matrix(['a', 'b'], { rows: 2, columns: 4 });
    expect(weight.type).toBe('f32');
    expect(new Float32Array((await readWeight(gpu, weight)).buffer)).toEqual(ramp(8));
    loader.destroy();
  });

  it.each<[string, HostTensor, string, WeightLoaderOptions, RegExp]>([
    ['is missing', STORED.F32!(ramp(4), [2, 2]), 'v', {}, /no tensor "v"/],
    [
      'is transposed',
      STORED.F32!(ramp(6), [3, 2]),
      'w',
      {},
      /^folder\/model\.safetensors: expected a matrix \[2, 3\], found "w" \[3, 2\]\. Do/,
    ],
    [
      'has too many rows',
      STORED.F32!(ramp(9), [3, 3]),
      'w',
      {},
      /expected a matrix \[2, 3\], found "w" \[3, 3\]/,
    ],
    ['is a vector', STORED.F32!(ramp(2), [2]), 'w', {}, /expected a matrix \[2, 3\], found "w" \[2\]/],
    ['has no rows', STORED.F32!(ramp(0), [0, 3]), 'w', {}, /found "w" \[0, 3\]/],
    [
      'holds integers',
      { dtype: 'I32', shape: [2, 3], data: new Int32Array(6) },
      'w',
      {},
      /"w" is I32, expected F32/,
    ],
    [
      'holds integers, as f16',
      { dtype: 'I32', shape: [2, 3], data: new Int32Array(6) },
      'w',
      { type: 'f16' },
      /"w" is I32, expected F32/,
    ],
    [
      'is too large for f16',
      STORED.F32!(Float32Array.of(0, 1, 2, 3, 65520, 5), [2, 3]),
      'w',
      { type: 'f16' },
      /"w" holds 65520.*f16\. Load the model as f32/,
    ],
    [
      'has rows larger than a binding',
      STORED.F32!(ramp(6), [2, 3]),
      'w',
      { maxPartBytes: 15 },
      /tensor "w": one row takes 16 bytes as f32; .* has 15/,
    ],
  ])('that %s is refused', async (_, tensor, name, options, message) => {
    const loader = await loaderOf({ w: tensor }, options);
    const refusal = loader.matrix(name, { rows: 2, columns: 3 });
    await expect(refusal).rejects.toThrow(WeightsError);
    await expect(refusal).rejects.toThrow(message);
    loader.destroy();
  });

  it('keeps infinities that are in the file', async () => {
    const values = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 65519, Number.NaN);
    const loader = await loaderOf({ w: STORED.F32!(values, [1, 4]) }, { type: 'f16' });
    const weight = await loader.matrix('w', { rows: 1, columns: 4 });
    expect(LOADED.f16((await readWeight(gpu, weight)).buffer)).toEqual(
      Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 65504, Number.NaN),
    );
    loader.destroy();
  });
});

describe('a matrix that the file holds the other way round', () => {
  it.each([undefined, 'bf16', 'f16'] as const)('is turned, as %s', async (type) => {
    const [rows, columns, stride] = [37, 1030, 1032];
    const values = ramp(rows * columns);
    const turned = Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
    const loader = await loaderOf({ w: { dtype: 'F32', shape: [columns, rows], data: turned } }, { type });
    const weight = await loader.transposed('w', { rows, columns });
    expect(weight).toMatchObject({ name: 'w', type: type ?? 'f32', rows, columns, stride });
    const bytes = (await readWeight(gpu, weight)).buffer;
    const stored = {
      f32: (b: ArrayBuffer) => new Float32Array(b),
      f16: halves(f16ToF32),
      bf16: halves(bf16ToF32),
    };
    expect(stored[type ?? 'f32'](bytes)).toEqual(padded(values, columns, stride));
    loader.destroy();
    await expect(loader.transposed('w', { rows: columns, columns: rows })).rejects.toThrow(WeightsError);
  });

  function halves(widen: (values: Uint16Array) => Float32Array) {
    return (bytes: ArrayBuffer) => widen(new Uint16Array(bytes));
  }
});

describe('a vector', () => {
  it('gets what is to be added, rounded to f32', async () => {
    const data = Float32Array.of(1e-9, -0.25, 1 / 3);
    const loader = await loaderOf({ v: { dtype: 'F32', shape: [3], data } });
    const { buffer } = await loader.vector('v', 3, { plus: 1 });
    const stored = new Float32Array(await readBuffer(gpu, buffer));
    expect(stored.subarray(0, 3)).toEqual(Float32Array.of(1, 0.75, 1 + Math.fround(1 / 3)));
    loader.destroy();
  });

  it('is widened to f32 and filled up to a multiple of 4, several joined', async () => {
    const loader = await loaderOf(
      {
        a: { dtype: 'F16', shape: [3], data: f32ToF16(ramp(3)) },
        b: { dtype: 'BF16', shape: [1, 1, 2], data: f32ToBf16(ramp(2, 3)) },
        c: { dtype: 'F32', shape: [1], data: ramp(1, 5) },
      },
      { type: 'f16' },
    );
    const vector = await loader.vector(['a', 'b', 'c'], 6);
    expect(vector).toMatchObject({ name: 'a + b + c', length: 6 });
    expect(new Float32Array(await readBuffer(gpu, vector.buffer))).toEqual(Float32Array.of(...ramp(6), 0, 0));
    expect(loader.bytes).toBe(32);
    loader.destroy();
  });

  it.each([
    ['is too short', [3], /expected a vector of 4 elements, found "v" \[3\]/],
    ['is a matrix', [2, 2], /expected a vector of 4 elements, found "v" \[2, 2\]/],
  ])('that %s is refused', async (_, shape, message) => {
    const length = shape.reduce((a, b) => a * b);
    const loader = await loaderOf({ v: { dtype: 'F32', shape, data: ramp(length) } });
    await expect(loader.vector('v', 4)).rejects.toThrow(WeightsError);
    await expect(loader.vector('v', 4)).rejects.toThrow(message);
  });
});

describe('blip-tiny', () => {
  it('gives the same weights from one file and from shards', async () => {
    const name = 'vision_model.encoder.layers.0.self_attn.qkv.weight';
    const bytes = [];
    for (const folder of ['blip-tiny', 'blip-tiny-sharded']) {
      const checkpoint = await Checkpoint.open(nodeFolder(fixture(folder)));
      const loader = new WeightLoader(gpu, checkpoint);
      bytes.push(await readWeight(gpu, await loader.matrix(name, { rows: 120, columns: 40 })));
      // A convolution [40, 3, 8, 8] and a table [1, 37, 40] are matrices, too.
      await loader.matrix('vision_model.embeddings.patch_embedding.weight', { rows: 40, columns: 192 });
      await loader.matrix('vision_model.embeddings.position_embedding', { rows: 37, columns: 40 });
      await loader.vector('vision_model.embeddings.class_embedding', 40);
      loader.destroy();
      await checkpoint.close();
    }
    expect(bytes[0]).toEqual(bytes[1]);
  });
});
