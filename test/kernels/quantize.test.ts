import { beforeAll, describe, expect, it } from 'vitest';
import type { Work } from '../../src/gpu/index.ts';
import type { QuantizedType } from '../../src/kernels/index.ts';
import { floatParts } from '../../src/kernels/quantize.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { asFloat32, type HostTensor, readTensors } from '../../src/weights/index.ts';
import { flatten, int8, type Matrix, NF4_CODE, nf4, toRows } from '../reference/index.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { type QuantizedOptions, readQuantized, uploadQuantized } from './quantized-support.ts';
import { DEVICES, stored } from './support.ts';

let golden: Map<string, HostTensor>;
beforeAll(async () => {
  const source = await fileSource(fixture('nf4/nf4.safetensors'));
  golden = await readTensors(source);
  await source.close();
});
const floats = (name: string) => asFloat32(golden.get(name)!, name);

/** The values of a quantised weight as matmul sees them, row by row without padding. */
async function dequantized(w: Work, weight: ReturnType<typeof uploadQuantized>): Promise<Float32Array> {
  const values = new Float32Array(weight.rows * weight.columns);
  for (const { buffer, firstRow, rows } of floatParts(w, weight)) {
    const { columns, stride } = weight;
    const [portion] = await w.read({ buffer, rows, columns, stride, offset: 0 });
    values.set(portion!, firstRow * columns);
  }
  return values;
}

describe.each(DEVICES)('NF4 on %s', (_, device) => {
  // The same elements in rows of other lengths: blocks run over the ends of rows.
  const shapes = [
    ['matrix0', 24, 64],
    ['matrix0', 12, 128],
    ['matrix0', 64, 24],
    ['matrix1', 37, 50],
    ['matrix1', 50, 37],
    ['edge', 1, 225],
    ['edge', 15, 15],
    ['edge', 225, 1],
  ] as const;

  it.each(shapes)('of the golden %s as [%i, %i] is equal to it', async (name, rows, columns) => {
    const w = await testWork(device);
    const weight = uploadQuantized(w, toRows(floats(`${name}/weight`), columns), 'nf4');
    const { codes, scales, padding } = await readQuantized(w, weight);
    const packed = golden.get(`${name}/packed`)!.data as Uint8Array;
    const expected = Int8Array.from(codes, (_code, i) => (packed[i >> 1]! >> (i % 2 ? 0 : 4)) & 15);
    expect(codes.length).toBe(rows * columns);
    expectSameBits(scales, floats(`${name}/absmax`));
    expect(codes).toEqual(expected);
    expect(padding.every((code) => code === 7)).toBe(true);
    // Compared as numbers: the golden's zeros have signs, which code · 0 gives or does not.
    expect(Array.from(await dequantized(w, weight), unsignedZero)).toEqual(
      Array.from(floats(`${name}/dequantised`), unsignedZero),
    );
  });
});

const unsignedZero = (value: number) => (value === 0 ? 0 : value);

it('the code is the one that the golden has', () => {
  expectSameBits(Float32Array.from(NF4_CODE), floats('code'));
});

const SHAPES: readonly [rows: number, columns: number, options: QuantizedOptions][] = [
  [3, 192, {}],
  [7, 130, { stored: 'f16' }],
  [64, 33, { stored: 'bf16' }],
  [37, 50, { stored: 'f16' }], // an odd number of f16 at the end would not fill a word
  [67, 3, { stored: 'f16' }],
  [1, 1, { stored: 'bf16' }],
  [40, 48, { stored: 'f16', portion: 4 }],
  [96, 50, { portion: 32 }],
  [96, 50, { partRows: [32, 64], portion: 32, stored: 'bf16' }],
];

describe.each(DEVICES)('on %s', (_, device) => {
  const cases = (['nf4', 'int8'] as const).flatMap((type) =>
    SHAPES.map((shape) => [type, ...shape] as const),
  );
  it.each(cases)('%s of [%i, %i] %o is that of the reference', async (type, rows, columns, options) => {
    const w = await testWork(device);
    const random = new Random(rows + columns);
    // Rows of sizes far apart, and one of zeros.
    const x = Array.from({ length: rows }, (_row, r) =>
      random.vector(columns, { spread: r % 5 === 3 ? 0 : 10 ** ((r % 7) - 3) }),
    );
    const values = stored(x, options.stored ?? 'f32');
    const weight = uploadQuantized(w, values, type, options);
    const expected = reference(type, values);
    const { codes, scales, padding } = await readQuantized(w, weight);
    expectSameBits(scales, expected.scales, { name: 'scales' });
    expect(codes).toEqual(expected.codes);
    expect(padding.every((code) => code === (type === 'nf4' ? 7 : 0))).toBe(true);
    expect(Array.from(await dequantized(w, weight), unsignedZero)).toEqual(
      Array.from(expected.values, unsignedZero),
    );
  });

  it('int8 rounds ties to even', async () => {
    const w = await testWork(device);
    // absmax 127, so that the scale is 1.
    const row = [127, -127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 125.5, -126.5, 0];
    const { codes, scales } = await readQuantized(w, uploadQuantized(w, [row], 'int8'));
    expect([...scales]).toEqual([1]);
    expect([...codes]).toEqual([127, -127, 0, 2, 2, 0, -2, -2, 126, 126, -126, 0]);
  });

  it('values that a device may flush to zero become zero', async () => {
    const w = await testWork(device);
    const row = new Float32Array(64).fill(2 ** -130);
    for (const type of ['nf4', 'int8'] as const) {
      const values = await dequantized(w, uploadQuantized(w, [row], type));
      expect(values.every((value) => Math.abs(value) <= 2 ** -129)).toBe(true);
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    '%f is reported',
    async (value) => {
      const w = await testWork(device);
      for (const type of ['nf4', 'int8'] as const)
        for (const file of ['f32', 'f16', 'bf16'] as const) {
          const refused = w.uploadWords(new Uint32Array(1), 'refused');
          const flag = { buffer: refused, rows: 1, columns: 1, stride: 1, offset: 0 };
          const x = new Random(1).matrix(5, 70);
          uploadQuantized(w, x, type, { stored: file, refused });
          expect((await w.read(flag))[0]![0]).toBe(0);
          x[3]![69] = value;
          uploadQuantized(w, x, type, { stored: file, refused });
          expect((await w.read(flag))[0]![0]).toBe(1);
        }
    },
  );
});

/** Each part by itself. */
function reference(type: QuantizedType, x: Matrix) {
  return type === 'int8' ? int8(x) : nf4(flatten(x));
}
