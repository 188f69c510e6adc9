// Products on matrix units. The kernel itself runs where the adapter has subgroup matrices (lavapipe of Mesa 26 does);
// elsewhere the same calls must give what they give without the option.

import { describe, expect, it } from 'vitest';
import { inSyntax, type SubgroupMatrix } from '../../src/gpu/index.ts';
import { matmul } from '../../src/kernels/index.ts';
import { matrixBlock, matrixTile } from '../../src/kernels/matmul-matrix.ts';
import { flatten, linear, norm } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { EPSILON, read, stored, upload, uploadVector, uploadWeight, uploadWindow } from './support.ts';

const MATRICES = { subgroupMatrices: true } as const;

/** Around the borders of tiles, and features that fill no quad and no step. */
const SHAPES = [
  [1, 1, 1],
  [1, 768, 300],
  [5, 37, 19],
  [17, 45, 33],
  [70, 770, 130],
  [300, 96, 65],
] as const;

describe('matmul on a device with subgroupMatrices', () => {
  it.each(['f32', 'f16', 'bf16'] as const)('%s weights: as exact as f32 to a factor of two', async (type) => {
    const work = await testWork(MATRICES);
    const plain = await testWork({ subgroupMatrices: false });
    for (const [M, K, N] of SHAPES) {
      const random = new Random(M + K);
      const [a, w] = [random.matrix(M, K), stored(random.matrix(N, K), type)];
      const options = { bias: random.vector(N), residual: random.matrix(M, N) };
      // Twice what matmul.test.ts allows a chain of f32: each of the halves that a product is made of rounds as often.
      const atol = flatten(a.map((row) => w.map((column) => 8 * EPSILON * norm(row) * norm(column) + 1e-6)));
      const product = (device: typeof work) =>
        matmul(device, upload(device, a), uploadWeight(device, w, type, N > 20 ? [16, N - 16] : [N]), {
          bias: uploadVector(device, options.bias),
          residual: upload(device, options.residual),
        });
      const result = await read(work, product(work));
      expectClose(result, flatten(linear(a, w, options)), { atol, shape: [M, N] });
      if (!work.capabilities.subgroupMatrix) expectSameBits(result, await read(plain, product(plain)));
    }
  });

  it('keeps values far below and above 1', async () => {
    const work = await testWork(MATRICES);
    const random = new Random(7);
    for (const scale of [1e-12, 1e-6, 1e-3, 3e3]) {
      const [a, w] = [random.matrix(9, 40, { spread: scale }), random.matrix(21, 40)];
      // Below 2⁻¹⁴ a value has only the 11 bits of its low half.
      const floor = work.capabilities.subgroupMatrix ? 2 ** -26 : 0;
      const atol = flatten(
        a.map((row) => w.map((column) => (8 * EPSILON * norm(row) + Math.sqrt(40) * floor) * norm(column))),
      );
      expectClose(
        await read(work, matmul(work, upload(work, a), uploadWeight(work, w))),
        flatten(linear(a, w)),
        {
          atol,
          name: `inputs of ${scale}`,
        },
      );
    }
  });

  it('windows of columns give what tensors of their own give', async () => {
    const work = await testWork(MATRICES);
    const random = new Random(3);
    const [a, w] = [random.matrix(13, 36), uploadWeight(work, random.matrix(53, 36))];
    const own = await read(work, matmul(work, upload(work, a), w));
    for (const left of [4, 3])
      expectSameBits(
        await read(work, matmul(work, uploadWindow(work, a, { left, right: 1, above: 2 }), w)),
        own,
        { name: `${left} columns further` },
      );
  });

  it('a row does not depend on the rows beside it', async () => {
    const work = await testWork(MATRICES);
    const random = new Random(1);
    const weight = uploadWeight(work, random.matrix(40, 770), 'f32', [17, 23]);
    const x = random.matrix(130, 770);
    const together = await read(work, matmul(work, upload(work, x), weight));
    for (const [first, count] of [
      [0, 1],
      [77, 1],
      [3, 8],
      [11, 16],
      [40, 65],
    ] as const) {
      const alone = await read(work, matmul(work, upload(work, x.slice(first, first + count)), weight));
      expectSameBits(alone, together.subarray(40 * first, 40 * (first + count)), { name: `${count} rows` });
    }
  });

  it('values that f16 cannot hold are not mistaken for numbers', async () => {
    const work = await testWork(MATRICES);
    const a = work.upload(new Float32Array(16).fill(1e6), 1, 16, 'a');
    const [value] = await read(work, matmul(work, a, uploadWeight(work, [new Float32Array(16).fill(1)])));
    if (work.capabilities.subgroupMatrix) expect(value).toBeNaN();
    else expect(value).toBe(16e6);
  });
});

describe('tiles of matrices', () => {
  const work = (maxComputeWorkgroupStorageSize: number, size = 16, lanes = 32) => ({
    subgroupSize: lanes,
    limits: { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize } as never,
    subgroupMatrix: { M: size, N: size, K: size, syntax: 'template' } satisfies SubgroupMatrix,
  });
  const block = (device: ReturnType<typeof work>, m: number, n = 768) => {
    const tile = matrixTile(device, m, n);
    return tile && matrixBlock(device.subgroupMatrix, tile);
  };

  it('are as large as workgroup memory allows, and small for few rows', () => {
    expect(block(work(49152), 577)).toEqual({ rows: 64, columns: 64 });
    expect(block(work(24576), 577)).toEqual({ rows: 32, columns: 32 });
    expect(block(work(16384), 577)).toEqual({ rows: 16, columns: 32 });
    expect(block(work(49152), 16)).toEqual({ rows: 16, columns: 32 });
    expect(block(work(32768, 8, 8), 577)).toEqual({ rows: 32, columns: 32 }); // lavapipe
    expect(block(work(49152), 2308, 3072)).toEqual({ rows: 128, columns: 64 });
    expect(block(work(32768), 2308, 3072)).toEqual({ rows: 64, columns: 64 });
    expect(block(work(32768, 8, 8), 2308, 3072)).toEqual({ rows: 64, columns: 32 });
  });

  it('do not exist where not even the smallest fits, whatever the number of rows', () => {
    expect(block(work(4096), 1)).toBeUndefined();
    expect(block(work(4096), 577)).toBeUndefined();
  });
});

describe('the older syntax', () => {
  it('has flags in place of template arguments', () => {
    expect(inSyntax('let a = subgroupMatrixLoad<Left, row_major>(&t, a0 * P + k, P);', 'flag')).toBe(
      'let a = subgroupMatrixLoad<Left>(&t, a0 * P + k, false, P);',
    );
    expect(inSyntax('let a = subgroupMatrixLoad<Right, col_major>(&t, k, P);', 'flag')).toBe(
      'let a = subgroupMatrixLoad<Right>(&t, k, true, P);',
    );
    expect(inSyntax('subgroupMatrixStore<row_major>(&s, first + SM, low0_0, SN);', 'flag')).toBe(
      'subgroupMatrixStore(&s, first + SM, low0_0, false, SN);',
    );
    expect(inSyntax('subgroupMatrixStore<row_major>(&s, 0u, m, SN);', 'template')).toContain('<row_major>');
  });
});
