// A product with a quantised weight has the bits of the product with its values as f32, however it is computed. What those
// bits must be is tested in matmul.test.ts, what the values must be in quantize.test.ts.

import { describe, expect, it } from 'vitest';
import { rowsOf, type Work } from '../../src/gpu/index.ts';
import { type Activation, matmul, type QuantizedType } from '../../src/kernels/index.ts';
import { quantizedTile } from '../../src/kernels/matmul-quantized.ts';
import { quantizedRow } from '../../src/kernels/matmul-quantized-row.ts';
import { flatten, int8, type Matrix, nf4, toRows } from '../reference/index.ts';
import { expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { uploadQuantized } from './quantized-support.ts';
import {
  around,
  DEVICES,
  framed,
  read,
  upload,
  uploadVector,
  uploadWeight,
  uploadWindow,
} from './support.ts';

/** The weight's values by the reference. */
function values(type: QuantizedType, w: Matrix): Float32Array[] {
  const { values } = type === 'int8' ? int8(w) : nf4(flatten(w));
  return toRows(values, w[0]!.length);
}

/** The device, with the choices of kernels that a GPU would get. */
function likeGpu(work: Work): Work {
  return {
    capabilities: { ...work.capabilities, software: false, subgroupSize: 32 },
    empty: work.empty.bind(work),
    acquire: work.acquire.bind(work),
    release: work.release.bind(work),
    dispatch: work.dispatch.bind(work),
  } as unknown as Work;
}

interface Case {
  readonly M: number;
  readonly K: number;
  readonly N: number;
  readonly partRows?: readonly number[];
  readonly activation?: Activation;
}

/**
 * Rows below and above what is multiplied in registers (4 on software adapters, 16 on GPUs); features in whole blocks or
 * not; columns beyond a tile (4 · 2 and 32 · 2); more chunks than are done side by side (32), the last of them half of one.
 */
const CASES: readonly Case[] = [
  { M: 1, K: 64, N: 1 },
  { M: 1, K: 768, N: 131 },
  { M: 1, K: 4160, N: 6 },
  { M: 3, K: 128, N: 67, activation: 'gelu' },
  { M: 4, K: 192, N: 64, partRows: [40, 24], activation: 'silu' },
  { M: 5, K: 64, N: 9 },
  { M: 17, K: 128, N: 35 },
  { M: 1, K: 50, N: 37 },
  { M: 6, K: 37, N: 11, activation: 'silu' },
  { M: 6, K: 40, N: 40, partRows: [8, 32] },
];
const title = ({ M, K, N, partRows, activation }: Case) =>
  `[${M}, ${K}] × [${N}, ${K}]${partRows ? ` in parts of ${partRows}` : ''}${activation ? ` ${activation}` : ''}`;
const MARGINS = { left: 3, right: 6, above: 2 };

const DEVICE_KINDS = [
  ...DEVICES.map(([name, options]) => [name, options, (work: Work) => work] as const),
  ['a device with the kernels of a GPU', {}, likeGpu] as const,
];

describe.each(DEVICE_KINDS)('on %s', (_, options, kind) => {
  const cases = (['nf4', 'int8'] as const).flatMap((type) => CASES.map((c) => [type, title(c), c] as const));
  it.each(cases)('%s %s', async (type, _title, { M, K, N, partRows, activation }) => {
    const device = await testWork(options);
    const work = kind(device);
    const random = new Random(M + K + N);
    const w = random.matrix(N, K);
    const quantized = uploadQuantized(device, w, type, partRows ? { partRows } : {});
    const floats = uploadWeight(device, values(type, w));
    const a = random.matrix(M, K);
    const epilogue = {
      bias: uploadVector(device, random.vector(N)),
      residual: upload(device, random.matrix(M, N)),
      ...(activation ? { activation } : {}),
    };
    for (const rest of [{}, epilogue]) {
      const expected = await read(device, matmul(work, upload(device, a), floats, rest));
      const found = await read(device, matmul(work, upload(device, a), quantized, rest));
      expectSameBits(found, expected, { shape: [M, N] });
    }
  });

  it.each(['nf4', 'int8'] as const)('%s reads and writes windows of columns', async (type) => {
    const device = await testWork(options);
    const work = kind(device);
    const random = new Random(7);
    const w = random.matrix(11, 64);
    const weight = uploadQuantized(device, w, type);
    for (const M of [1, 4, 18]) {
      const a = random.matrix(M, 64);
      const out = uploadWindow(device, random.matrix(M, 11), MARGINS);
      matmul(work, uploadWindow(device, a, MARGINS), weight, { out });
      const plain = await read(device, matmul(work, upload(device, a), weight));
      expectSameBits(await read(device, out), plain);
      expectSameBits(await read(device, around(out, MARGINS)), framed(toRows(plain, 11), MARGINS));
    }
  });

  it.each(['nf4', 'int8'] as const)('%s: rows do not depend on the rows beside them', async (type) => {
    const device = await testWork(options);
    const work = kind(device);
    const random = new Random(8);
    const weight = uploadQuantized(device, random.matrix(40, 192), type);
    const x = random.matrix(37, 192);
    const whole = matmul(work, upload(device, x), weight);
    for (const [first, size] of [
      [0, 1],
      [20, 1],
      [13, 4],
      [3, 5],
      [9, 16],
      [20, 17],
    ] as const) {
      const alone = await read(device, matmul(work, upload(device, x.slice(first, first + size)), weight));
      expectSameBits(alone, await read(device, rowsOf(whole, first, size)), { name: `${size} rows` });
    }
  });
});

it('a weight larger than what is made into f32 at a time gives the same bits', async () => {
  const work = await testWork();
  const K = 8256; // 32 MiB are 1016 rows
  const random = new Random(9);
  const w = random.matrix(1100, K);
  const a = upload(work, random.matrix(5, K));
  const found = await read(work, matmul(work, a, uploadQuantized(work, w, 'nf4')));
  const expected = await read(work, matmul(work, a, uploadWeight(work, values('nf4', w))));
  expectSameBits(found, expected, { shape: [5, 1100] });
});

describe('one row on a GPU', () => {
  it.each([
    ['nf4', 4096, { columns: 4, lanes: 32 }],
    ['nf4', 768, { columns: 16, lanes: 8 }],
    ['int8', 11008, { columns: 2, lanes: 32 }],
    ['int8', 1024, { columns: 8, lanes: 8 }],
    ['nf4', 96, undefined],
  ] as const)('of %s and %i features has %o', (type, columns, shape) => {
    expect(quantizedRow({ software: false }, 1, columns, type)).toEqual(shape);
    expect(quantizedRow({ software: false }, 2, columns, type)).toBeUndefined();
    expect(quantizedRow({ software: true }, 1, columns, type)).toBeUndefined();
  });
});

describe('values are made in registers', () => {
  const SOFTWARE = { software: true, subgroupSize: 4 };
  const GPU = { software: false, subgroupSize: 32 };
  it.each([
    ['one row, software', SOFTWARE, 1, 64, { rows: 1, columns: 2, threads: 4 }],
    ['four rows, software', SOFTWARE, 4, 4096, { rows: 4, columns: 2, threads: 4 }],
    ['more, software', SOFTWARE, 5, 4096, undefined],
    ['no subgroups', { ...SOFTWARE, subgroupSize: 0 }, 2, 64, { rows: 4, columns: 2, threads: 32 }],
    ['a batch of answers on a GPU', GPU, 16, 4096, { rows: 4, columns: 1, threads: 32 }],
    ['a prompt on a GPU', GPU, 17, 4096, undefined],
    ['features that make no whole blocks', GPU, 1, 96, undefined],
  ] as const)('for %s: %o', (_, device, m, columns, tile) => {
    expect(quantizedTile(device, m, columns)).toEqual(tile);
  });
});
