// A row's result does not depend on the rows beside it, bit for bit. Sweeps rest on it: a cell of a batch equals the
// same run alone. So every kernel that mixes values of a row must add them in an order that the row alone decides.

import { describe, expect, it } from 'vitest';
import { rowsOf, type Tensor, type Work } from '../../src/gpu/index.ts';
import {
  type ElementType,
  logSumExp,
  matmul,
  metricValues,
  normalize,
  planAttention,
  shapeClass,
} from '../../src/kernels/index.ts';
import { expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { all, attend, type GroupRows, layGroups } from './attention-support.ts';
import { DEVICES, read, stored, upload, uploadVector, uploadWeight } from './support.ts';

/** Around the heights of tiles: up to 4 rows one by one, more in tiles of 8 or 12. */
const BATCHES = [1, 4, 5, 8, 12, 13, 577];
const TOTAL = 577;
/** Batches are cut out of the rows in different places. */
const firstRow = (size: number) => Math.floor((TOTAL - size) / 3);

/** Compares what `kernel` makes of batches of every size, cut out of x, with the same rows of what it makes of all of x. */
async function expectRowsIndependent(
  w: Work,
  x: readonly Float32Array[],
  kernel: (batch: Tensor) => Tensor,
): Promise<void> {
  const whole = kernel(upload(w, x));
  for (const size of BATCHES) {
    const first = firstRow(size);
    const alone = await read(w, kernel(upload(w, x.slice(first, first + size))));
    const together = await read(w, rowsOf(whole, first, size));
    expectSameBits(alone, together, { name: `${size} rows`, shape: [size, whole.columns] });
  }
}

describe.each(DEVICES)('on %s the rows do not depend on their batch in', (_, device) => {
  it.each(['f32', 'f16', 'bf16'] as const satisfies ElementType[])('matmul with %s', async (type) => {
    const w = await testWork(device);
    const random = new Random(1);
    const weight = uploadWeight(w, stored(random.matrix(40, 770), type), type, [17, 23]);
    const bias = uploadVector(w, random.vector(40));
    const x = random.matrix(TOTAL, 770);
    await expectRowsIndependent(w, x, (batch) => matmul(w, batch, weight, { bias }));
  });

  it('matmul of so many columns that it has tiles of its own', async () => {
    const w = await testWork(device);
    const random = new Random(6);
    const weight = uploadWeight(w, random.matrix(7700, 140));
    expect(shapeClass(TOTAL, 7700)).toBe('large');
    await expectRowsIndependent(w, random.matrix(TOTAL, 140), (batch) => matmul(w, batch, weight));
  });

  it('LayerNorm and RMSNorm', async () => {
    const w = await testWork(device);
    const random = new Random(2);
    const x = random.matrix(TOTAL, 131, { centre: 1 });
    const scale = uploadVector(w, random.vector(131));
    const shift = uploadVector(w, random.vector(131));
    await expectRowsIndependent(w, x, (batch) => normalize(w, batch, { scale, shift, eps: 1e-5 }));
    await expectRowsIndependent(w, x, (batch) => normalize(w, batch, { scale, eps: 1e-5 }));
  });

  it('log-sum-exp', async () => {
    const w = await testWork(device);
    const x = new Random(3).matrix(TOTAL, 457, { spread: 10 });
    await expectRowsIndependent(w, x, (batch) =>
      logSumExp(
        w,
        batch,
        all(batch.rows).map(() => [5, 7]),
      ),
    );
  });

  it('weights over the vocabulary', async () => {
    const w = await testWork(device);
    const random = new Random(5);
    const x = random.matrix(TOTAL, 457, { spread: 10 });
    const metric = { kind: 'weights', weights: random.vector(457) } as const;
    await expectRowsIndependent(w, x, (batch) => {
      const rows = all(batch.rows).map((row) => ({ logits: row, scores: row, metric }));
      const none = all(batch.rows).map(() => []);
      return metricValues(w, batch, logSumExp(w, batch, none), rows);
    });
  });

  it.each([
    [64, 'causal', 61],
    [10, 'causal', 61],
    [64, 'windows of 9', 61],
    [10, 'windows of 70', 141],
    [10, 'any ranges', 141],
  ] as const)('attention with heads of %i features, %s', async (headSize, mask, tokens) => {
    const w = await testWork(device);
    const shape = { heads: 3, keyHeads: 3, headSize };
    const random = new Random(4);
    const columns = 3 * headSize;
    const operands = {
      q: upload(w, random.matrix(tokens, columns, { spread: 2 })),
      k: upload(w, random.matrix(tokens, columns, { spread: 2 })),
      v: upload(w, random.matrix(tokens, columns)),
    };
    /** z of each query row, computed in the given groups and chunks. */
    const z = async (
      groups: readonly GroupRows[],
      scratchBytes = Number.POSITIVE_INFINITY,
      whole = false,
    ) => {
      const laid = layGroups(groups);
      const plan = planAttention(laid, shape.heads, scratchBytes, whole);
      const out = w.empty(tokens, columns, 'z');
      await attend(w, { ...operands, z: out }, shape, plan);
      const values = await read(w, out);
      const rows = new Float32Array(tokens * columns);
      for (const { query, out: row } of laid.flatMap(({ queries }) => queries))
        rows.set(values.subarray(row * columns, (row + 1) * columns), query * columns);
      return rows;
    };
    const ranges = all(tokens).map((query): [number, number] => {
      if (mask === 'causal') return [0, query + 1];
      if (mask === 'windows of 9') return [Math.max(0, query - 8), query + 1];
      if (mask === 'windows of 70') return [Math.max(0, query - 69), query + 1];
      const first = random.integer(tokens);
      return [first, first + 1 + random.integer(tokens - first)];
    });
    const seen = (query: number) => ranges[query]!;
    const group = (queries: readonly number[]): GroupRows => [queries, all(tokens), seen];
    /** The queries dealt out to groups of `size`. */
    const groupsOf = (queries: readonly number[], size: number) =>
      all(Math.ceil(tokens / size)).map((i) => group(queries.slice(i * size, (i + 1) * size)));
    const together = await z([group(all(tokens))]); // tiles of 8
    const others: [name: string, groups: readonly GroupRows[], scratchBytes?: number, whole?: boolean][] = [
      ['in chunks', [group(all(tokens))], 10_000],
      ['each alone', groupsOf(all(tokens), 1)], // tiles of 1
      [
        'alone, with only its own keys',
        all(tokens).map((query) => [[query], all(tokens).slice(...ranges[query]!)]),
      ],
      ['whole rows', [group(all(tokens))], Number.POSITIVE_INFINITY, true],
      ['whole rows, mixed', groupsOf(random.permutation(tokens), 6), Number.POSITIVE_INFINITY, true],
      ['in fours, mixed', groupsOf(random.permutation(tokens), 4)], // tiles of 4
      ['in sixes, mixed, in chunks', groupsOf(random.permutation(tokens), 6), 5000], // tiles of 6
    ];
    for (const [name, groups, scratchBytes, whole] of others)
      expectSameBits(await z(groups, scratchBytes, whole), together, {
        name,
        shape: [tokens, shape.heads, headSize],
      });
  });
});
