// How a cached activation's values are arranged: rows one after the other on the GPU, an array with batch for whoever reads.

import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../src/gpu/index.ts';
import type { Activation } from '../../src/models/index.ts';
import { CachedActivation } from '../../src/patching/cache.ts';

const cached = (
  shape: Pick<Activation, 'name' | 'heads' | 'size'>,
  lengths: readonly number[],
  keys?: readonly number[],
) => new CachedActivation(shape as Activation, {} as Tensor, lengths, keys, undefined);

describe('the row of a position', () => {
  const stream = cached({ name: 't.blocks.0.hook_resid_pre', heads: 1, size: 2 }, [3, 0, 2]);

  test.each([
    [0, 0, 0],
    [0, 2, 2],
    [2, 0, 3],
    [2, 1, 4],
  ])('of run %i, position %i: %i', (batch, position, row) => {
    expect(stream.row(batch, position)).toBe(row);
  });

  test.each([
    [0, -1],
    [0, 3],
    [0, 0.5],
    [0, Number.NaN],
    [1, 0],
    [3, 0],
    [-1, 0],
  ])('there is none of run %d, position %d', (batch, position) => {
    expect(() => stream.row(batch, position)).toThrow(
      `no position ${position} of batch row ${batch} in the cache (lengths 3, 0, 2)`,
    );
  });
});

test('shorter runs are filled up with zeros', () => {
  const stream = cached({ name: 't.blocks.0.hook_resid_pre', heads: 1, size: 2 }, [1, 2]);
  expect(stream.shape).toEqual([2, 2, 2]);
  const arranged = stream.arrange(Float32Array.of(1, 2, 3, 4, 5, 6));
  expect([...arranged]).toEqual([1, 2, 0, 0, 3, 4, 5, 6]);
  expect([...stream.valuesOf(arranged, 1, 1)]).toEqual([5, 6]);
  const heads = cached({ name: 't.blocks.0.attn.hook_z', heads: 2, size: 2 }, [1, 1]);
  expect(heads.shape).toEqual([2, 1, 2, 2]);
  const byHead = heads.arrange(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  expect([...byHead]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect([...heads.valuesOf(byHead, 1, 0)]).toEqual([5, 6, 7, 8]);
  expect(cached({ name: 'logits', heads: 1, size: 7 }, [1, 1]).shape).toEqual([2, 7]);
});

test('patterns are read head by head, keys of shorter runs filled up', () => {
  // Two heads of up to three keys; the first run has two.
  const pattern = cached({ name: 't.blocks.0.attn.hook_pattern', heads: 2, size: 3 }, [1, 2], [2, 3]);
  expect(pattern.shape).toEqual([2, 2, 2, 3]);
  const rows = Float32Array.of(
    ...[1, 2, 9, 3, 4, 9], // beyond its keys a row may hold anything
    ...[5, 6, 7, 8, 10, 11],
    ...[12, 13, 14, 15, 16, 17],
  );
  const arranged = pattern.arrange(rows);
  expect([...arranged]).toEqual([
    ...[1, 2, 0, 0, 0, 0],
    ...[3, 4, 0, 0, 0, 0],
    ...[5, 6, 7, 12, 13, 14],
    ...[8, 10, 11, 15, 16, 17],
  ]);
  expect([...pattern.valuesOf(arranged, 0, 0)]).toEqual([1, 2, 0, 3, 4, 0]);
  expect([...pattern.valuesOf(arranged, 1, 1)]).toEqual([12, 13, 14, 15, 16, 17]);
});
