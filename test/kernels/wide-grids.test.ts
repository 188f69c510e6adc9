// More rows or values than a dispatch can be wide: kernels go on in the second dimension, or in steps of the grid.

import { describe, expect, it } from 'vitest';
import type { Work } from '../../src/gpu/index.ts';
import { elementGrid, gridOf } from '../../src/kernels/grid.ts';
import {
  activate,
  add,
  addPositions,
  addRows,
  customHook,
  type Edit,
  embedImage,
  embedTokens,
  gatherRows,
  imagePatches,
  intervene,
  logSumExp,
  meanRows,
  metricValues,
  normalize,
  normalizeHeads,
  rotate,
} from '../../src/kernels/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { read, uploadVector, uploadWeight } from './support.ts';

/** Each row's own number, exact in f32. */
const numbers = (count: number) => Float32Array.from({ length: count }, (_, i) => i);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

async function setup() {
  const w = await testWork();
  const rows = w.capabilities.limits.maxComputeWorkgroupsPerDimension + 3;
  return { w, rows, x: w.upload(numbers(rows), rows, 1, 'x') };
}

describe('grids', () => {
  const w = { capabilities: { limits: { maxComputeWorkgroupsPerDimension: 10 } } } as unknown as Work;

  it('cover every row within the limit', () => {
    for (const count of [0, 1, 9, 10, 11, 99, 100]) {
      const { groups, gridX } = gridOf(w, count);
      expect(Math.max(...groups)).toBeLessThanOrEqual(10);
      expect(groups[0]).toBe(gridX);
      expect(groups[0] * groups[1]).toBeGreaterThanOrEqual(count);
    }
  });

  it('cover every value in steps of their threads', () => {
    for (const count of [0, 1, 64, 65, 640, 641, 10_000]) {
      const { groups, threads } = elementGrid(w, count);
      expect(groups[0]).toBeLessThanOrEqual(10);
      expect(threads).toBe(64 * groups[0]);
      expect(threads).toBeGreaterThanOrEqual(Math.min(count, 640));
    }
  });
});

describe('with more rows than the widest grid', () => {
  it('rows are gathered, averaged and embedded', async () => {
    const { w, rows, x } = await setup();
    const reversed = numbers(rows).reverse();
    const gathered = gatherRows(w, x, Uint32Array.from(reversed), w.empty(rows, 1, 'out'));
    expectSameBits(await read(w, gathered), reversed);
    expectSameBits(
      await read(
        w,
        meanRows(
          w,
          x,
          range(rows).map((row) => [row]),
        ),
      ),
      numbers(rows),
    );
    const table = uploadWeight(w, [[10], [20], [30]]);
    const ids = range(rows).map((row) => row % 3);
    expectSameBits(
      await read(w, embedTokens(w, ids, table)),
      Float32Array.from(ids, (id) => 10 * (id + 1)),
    );
    const corners = range(rows).map((row) => range(4).map((): [number, number] => [row % 3, 0.25]));
    expectSameBits(
      await read(w, addPositions(w, x, table, corners)),
      Float32Array.from(ids, (id, row) => row + 10 * (id + 1)),
    );
    // One patch per image, so rows alternate between class token and patch.
    const images = embedImage(w, x, uploadVector(w, [7]), uploadWeight(w, [[0], [0.5]]));
    const expected = range(rows).flatMap((row) => [7, row + 0.5]);
    expectSameBits(await read(w, images), Float32Array.from(expected));
  });

  it('rows are normalised and reduced', async () => {
    const { w, rows, x } = await setup();
    const pairs = w.upload(
      Float32Array.from({ length: 2 * rows }, (_, i) => i),
      rows,
      2,
      'pairs',
    );
    const weights = { scale: uploadVector(w, [1, 1]), shift: uploadVector(w, [0, 0]), eps: 0 };
    // (2 r, 2 r + 1) is half a unit on both sides of its mean.
    const normalized = await read(w, normalize(w, pairs, weights));
    expect(normalized.every((value, i) => Math.abs(value - (i % 2 ? 1 : -1)) < 1e-6)).toBe(true);
    const reduced = await read(
      w,
      logSumExp(
        w,
        x,
        range(rows).map(() => [0]),
      ),
    );
    expectSameBits(reduced, Float32Array.from(range(rows).flatMap((row) => [row, row])));
    const metric = { kind: 'weights', weights: Float32Array.of(3) } as const;
    const weighted = metricValues(
      w,
      x,
      x,
      range(rows).map((row) => ({ logits: row, scores: row, metric })),
    );
    expectSameBits(
      await read(w, weighted),
      numbers(rows).map((value) => 3 * value),
    );
  });

  it('heads are normalised', async () => {
    const { w, rows } = await setup();
    const x = w.upload(new Float32Array(2 * rows).fill(-3), rows, 2, 'heads');
    normalizeHeads(w, x, 2, { scale: uploadVector(w, [2]), eps: 0 });
    expectClose(await read(w, x), new Float32Array(2 * rows).fill(-2), { rtol: 1e-6 });
  });

  it('rows are added', async () => {
    const { w, rows, x } = await setup();
    const pairs = Uint32Array.from(range(rows).flatMap((row) => [row, rows - 1 - row]));
    addRows(w, x, w.upload(numbers(rows), rows, 1, 'source'), pairs);
    expectSameBits(await read(w, x), new Float32Array(rows).fill(rows - 1));
  });

  it('rows are edited', async () => {
    const { w, rows, x } = await setup();
    const edits = range(rows).map(
      (row): Edit => ({ row, firstColumn: 0, columns: 1, source: 0, alpha: 2, counter: 0 }),
    );
    const fired = w.uploadWords(new Uint32Array(1), 'fired');
    intervene(w, x, 'scale', edits, fired);
    const doubled = numbers(rows).map((value) => 2 * value);
    expectSameBits(await read(w, x), doubled);
    const words = await read(w, { buffer: fired, rows: 1, columns: 1, stride: 1, offset: 0 });
    expect(new Uint32Array(words.buffer)[0]).toBe(rows);
    customHook(
      w,
      x,
      1,
      range(rows).map((row) => ({ row, batch: 0, position: row })),
      'return value + f32(position);',
    );
    expectSameBits(
      await read(w, x),
      numbers(rows).map((value) => 3 * value),
    );
  });

  it('values are mapped in steps of the grid', async () => {
    const w = await testWork();
    const threads = 64 * w.capabilities.limits.maxComputeWorkgroupsPerDimension;
    const values = numbers(threads + 1011);
    const x = w.upload(values, values.length / 3, 3, 'x');
    expectSameBits(
      await read(w, add(w, x, x)),
      values.map((value) => 2 * value),
    );
    expectSameBits(await read(w, activate(w, x, 'none')), values);
    expectSameBits(await read(w, imagePatches(w, x, 1, 1, 1)), values); // images of one pixel
  });

  it('pairs of values are mapped in steps of the grid', async () => {
    const w = await testWork();
    const rows = 64 * w.capabilities.limits.maxComputeWorkgroupsPerDimension + 1000;
    const values = numbers(2 * rows).map((value) => value);
    const x = w.upload(values, rows, 2, 'x');
    const positions = w.uploadWords(new Uint32Array(rows), 'positions');
    const halfTurn = w.uploadWords(Float32Array.of(-1, 0), 'cos and sin');
    rotate(w, x, 1, positions, halfTurn);
    expectClose(
      await read(w, x),
      values.map((value) => -value),
      { atol: 0 },
    );
  });
});
