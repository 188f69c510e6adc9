// Every matmul variant that the test device can run gives the same bits, also those that are chosen on other devices:
// tiles in workgroup memory for GPUs run on SwiftShader too. What the bits must be is tested in matmul.test.ts.

import { describe, expect, it } from 'vitest';
import type { Tensor, Work } from '../../src/gpu/index.ts';
import {
  canRun,
  type MatmulOptions,
  type MatmulVariant,
  matmul,
  SHAPE_CLASSES,
  tuningTasks,
} from '../../src/kernels/index.ts';
import { flatten, linear, norm } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { EPSILON, read, stored, upload, uploadVector, uploadWeight, uploadWindow } from './support.ts';

/** The defaults of all kinds of devices, and the row kernel with so few lanes that a row takes several turns. */
const VARIANTS: MatmulVariant[] = [
  { kernel: 'matmul_row', rows: 1, columns: 4, lanes: 2, threads: 8, quads: 8 },
  ...[
    { software: true, subgroupSize: 4 },
    { software: true, subgroupSize: 8 },
    { software: true, subgroupSize: 0 },
    { software: false, subgroupSize: 32, limits: { maxComputeWorkgroupStorageSize: 32768 } as never },
  ].flatMap((device) => tuningTasks(device).flatMap(({ candidates }) => candidates[0] ?? [])),
];

const distinct = new Map(VARIANTS.map((variant) => [titleOf(variant), variant]));

function titleOf(variant: MatmulVariant): string {
  return Object.values(variant).join(' ');
}

/**
 * More than one tile of most variants each way; K has several chunks and ends inside one, and is a multiple of a quad, or not. Two cases are
 * two kernels to compile, and SwiftShader takes a second or two for each of the large ones.
 */
const SHAPES = [
  { M: 19, K: 300, N: 70, type: 'f16' },
  { M: 19, K: 301, N: 70, type: 'f32' },
] as const;

interface Operands {
  readonly a: Tensor;
  readonly options: MatmulOptions;
  readonly weight: ReturnType<typeof uploadWeight>;
}

/** A window of columns; with K a multiple of 4 its rows start at multiples of 4 elements. */
function operands(work: Work, { M, K, N, type }: (typeof SHAPES)[number]): Operands {
  const random = new Random(M);
  return {
    a: uploadWindow(work, random.matrix(M, K), { left: 4, right: 4, above: 1 }),
    weight: uploadWeight(work, stored(random.matrix(N, K), type), type, [40, N - 40]),
    options: {
      bias: uploadVector(work, random.vector(N)),
      activation: 'silu',
      residual: upload(work, random.matrix(M, N)),
    },
  };
}

describe('matmul variants', () => {
  it('include workgroup tiles for every shape class but one row', () => {
    const tiles = [...distinct.values()].filter(({ kernel }) => kernel === 'matmul_tile');
    expect(tiles.length).toBe(SHAPE_CLASSES.length - 1);
  });

  it.each([...distinct])('%s', async (_, variant) => {
    const work = await testWork();
    if (!canRun(work.capabilities, variant)) {
      console.log(`skipped: ${titleOf(variant)} does not run on ${work.capabilities.description}`);
      return;
    }
    for (const shape of SHAPES) {
      const { a, weight, options } = operands(work, shape);
      const usual = await read(work, matmul(work, a, weight, options));
      const other = await read(work, matmul(work, a, weight, { ...options, variant }));
      expectSameBits(other, usual, { name: JSON.stringify(shape), shape: [shape.M, shape.N] });
    }
  });

  it('and the usual one is right about these shapes', async () => {
    const work = await testWork();
    for (const { M, K, N } of SHAPES) {
      const random = new Random(M);
      const [a, w] = [random.matrix(M, K), random.matrix(N, K)];
      // A chain of K fma: see tolerance() in matmul.test.ts.
      const atol = flatten(a.map((row) => w.map((column) => 4 * EPSILON * norm(row) * norm(column))));
      const result = await read(work, matmul(work, upload(work, a), uploadWeight(work, w)));
      expectClose(result, flatten(linear(a, w)), { atol, shape: [M, N] });
    }
  });
});
