// More rows or values than a dispatch can be wide: kernels go on in the second dimension, or in steps of the grid.

import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { elementGrid, gridOf } from '../../src/kernels/grid.ts';
import {
  activate,
  add,
  castDown,
  castUp,
  customHook,
  type Edit,
  embedImage,
  embedTokens,
  gatherRows,
  imagePatches,
  intervene,
  logSumExp,
  meanRows,
  normalize,
  rotate,
} from '../../src/kernels/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { read, uploadVector, uploadWeight } from './support.ts';

/** Each row's own number, exact in f32. */
const numbers = (count: number) => Float32Array.from({ length: count }, (_, i) => i);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

async function setup() {
  const gpu = await testGpu();
  const rows = gpu.capabilities.limits.maxComputeWorkgroupsPerDimension + 3;
  return { gpu, rows, x: gpu.upload(numbers(rows), rows, 1, 'x') };
}

describe('grids', () => {
  const gpu = { capabilities: { limits: { maxComputeWorkgroupsPerDimension: 10 } } } as unknown as Gpu;

  it('cover every row within the limit', () => {
    for (const count of [0, 1, 9, 10, 11, 99, 100]) {
      const { groups, gridX } = gridOf(gpu, count);
      expect(Math.max(...groups)).toBeLessThanOrEqual(10);
      expect(groups[0]).toBe(gridX);
      expect(groups[0] * groups[1]).toBeGreaterThanOrEqual(count);
    }
  });

  it('cover every value in steps of their threads', () => {
    for (const count of [0, 1, 64, 65, 640, 641, 10_000]) {
      const { groups, threads } = elementGrid(gpu, count);
      expect(groups[0]).toBeLessThanOrEqual(10);
      expect(threads).toBe(64 * groups[0]);
      expect(threads).toBeGreaterThanOrEqual(Math.min(count, 640));
    }
  });
});

describe('with more rows than the widest grid', () => {
  it('rows are gathered, averaged and embedded', async () => {
    const { gpu, rows, x } = await setup();
    const reversed = numbers(rows).reverse();
    const gathered = gatherRows(gpu, x, Uint32Array.from(reversed), gpu.empty(rows, 1, 'out'));
    expectSameBits(await read(gpu, gathered), reversed);
    expectSameBits(
      await read(
        gpu,
        meanRows(
          gpu,
          x,
          range(rows).map((row) => [row]),
        ),
      ),
      numbers(rows),
    );
    const table = uploadWeight(gpu, [[10], [20], [30]]);
    const ids = range(rows).map((row) => row % 3);
    expectSameBits(
      await read(gpu, embedTokens(gpu, ids, table)),
      Float32Array.from(ids, (id) => 10 * (id + 1)),
    );
    // One patch per image, so rows alternate between class token and patch.
    const images = embedImage(gpu, x, uploadVector(gpu, [7]), uploadWeight(gpu, [[0], [0.5]]));
    const expected = range(rows).flatMap((row) => [7, row + 0.5]);
    expectSameBits(await read(gpu, images), Float32Array.from(expected));
  });

  it('rows are normalised and reduced', async () => {
    const { gpu, rows, x } = await setup();
    const pairs = gpu.upload(
      Float32Array.from({ length: 2 * rows }, (_, i) => i),
      rows,
      2,
      'pairs',
    );
    const weights = { scale: uploadVector(gpu, [1, 1]), shift: uploadVector(gpu, [0, 0]), eps: 0 };
    // (2 r, 2 r + 1) is half a unit on both sides of its mean.
    const normalized = await read(gpu, normalize(gpu, pairs, weights));
    expect(normalized.every((value, i) => Math.abs(value - (i % 2 ? 1 : -1)) < 1e-6)).toBe(true);
    const reduced = await read(
      gpu,
      logSumExp(
        gpu,
        x,
        range(rows).map(() => [0]),
      ),
    );
    expectSameBits(reduced, Float32Array.from(range(rows).flatMap((row) => [row, row])));
  });

  it('rows are edited', async () => {
    const { gpu, rows, x } = await setup();
    const edits = range(rows).map(
      (row): Edit => ({ row, firstColumn: 0, columns: 1, source: 0, alpha: 2, counter: 0 }),
    );
    const fired = gpu.uploadWords(new Uint32Array(1), 'fired');
    intervene(gpu, x, 'scale', edits, fired);
    const doubled = numbers(rows).map((value) => 2 * value);
    expectSameBits(await read(gpu, x), doubled);
    const words = await read(gpu, { buffer: fired, rows: 1, columns: 1, stride: 1, offset: 0 });
    expect(new Uint32Array(words.buffer)[0]).toBe(rows);
    customHook(
      gpu,
      x,
      1,
      range(rows).map((row) => ({ row, batch: 0, position: row })),
      'return value + f32(position);',
    );
    expectSameBits(
      await read(gpu, x),
      numbers(rows).map((value) => 3 * value),
    );
  });

  it('values are mapped in steps of the grid', async () => {
    const gpu = await testGpu();
    const threads = 64 * gpu.capabilities.limits.maxComputeWorkgroupsPerDimension;
    const values = numbers(threads + 1011);
    const x = gpu.upload(values, values.length / 3, 3, 'x');
    expectSameBits(
      await read(gpu, add(gpu, x, x)),
      values.map((value) => 2 * value),
    );
    expectSameBits(await read(gpu, activate(gpu, x, 'none')), values);
    expectSameBits(await read(gpu, imagePatches(gpu, x, 1, 1, 1)), values); // images of one pixel
  });

  it('pairs of values are mapped in steps of the grid', async () => {
    const gpu = await testGpu();
    const rows = 64 * gpu.capabilities.limits.maxComputeWorkgroupsPerDimension + 1000;
    const values = numbers(2 * rows).map((value) => value % 256); // exact in bf16
    const x = gpu.upload(values, rows, 2, 'x');
    expectSameBits(await read(gpu, castUp(gpu, castDown(gpu, x, 'bf16'), 'bf16')), values);
    const positions = gpu.uploadWords(new Uint32Array(rows), 'positions');
    const halfTurn = gpu.uploadWords(Float32Array.of(-1, 0), 'cos and sin');
    rotate(gpu, x, 1, positions, halfTurn);
    expectClose(
      await read(gpu, x),
      values.map((value) => -value),
      { atol: 0 },
    );
  });
});
