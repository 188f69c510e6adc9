// Masks of a tower: what a query sees, and what a changed key reaches. Any ranges at all, so that no kind of mask is taken
// for granted.

import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../src/gpu/index.ts';
import {
  blockMask,
  type KeyRange,
  type Mask,
  maskOf,
  NO_PROBE,
  type Probe,
  Sequence,
  withBlocks,
} from '../../src/models/tower/index.ts';
import { reached, seenOtherwise } from '../../src/models/tower/mask.ts';
import { read, upload } from '../kernels/support.ts';
import { attention, linear, rmsNorm, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { CONFIG, randomTower, rootRun } from './tower-support.ts';

const LENGTH = 150;

describe('what a query sees', () => {
  const run = new Sequence(10);
  const rangesOf = (mask: Mask, layer = 0) =>
    Array.from({ length: run.length }, (_, p) => {
      const { first, end } = mask(run, layer)(p);
      return `${first}-${end}`;
    }).join(' ');

  test('all keys, those before it, the last few of them', () => {
    expect(rangesOf(maskOf({ causal: false }))).toBe(new Array(10).fill('0-10').join(' '));
    expect(rangesOf(maskOf({ causal: true }))).toBe('0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-9 0-10');
    const sliding = maskOf({ causal: true, windows: [undefined, 3] });
    expect(rangesOf(sliding, 0)).toBe('0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-9 0-10');
    expect(rangesOf(sliding, 1)).toBe('0-1 0-2 0-3 1-4 2-5 3-6 4-7 5-8 6-9 7-10');
  });

  test('a prompt that sees all of itself, windows or not, and an answer', () => {
    const prompt = [{ first: 0, end: 6 }];
    const mask = withBlocks(maskOf({ causal: true, windows: [undefined, 3] }), () => prompt, {
      beyondWindow: true,
    });
    expect(rangesOf(mask, 0)).toBe('0-6 0-6 0-6 0-6 0-6 0-6 0-7 0-8 0-9 0-10');
    expect(rangesOf(mask, 1)).toBe('0-6 0-6 0-6 0-6 0-6 0-6 4-7 5-8 6-9 7-10');
  });

  test('images that see themselves within a window', () => {
    const images = [
      { first: 1, end: 4 },
      { first: 4, end: 8 },
    ];
    const mask = withBlocks(maskOf({ causal: true, windows: [undefined, 3] }), () => images, {
      beyondWindow: false,
    });
    expect(rangesOf(mask, 0)).toBe('0-1 0-4 0-4 0-4 0-8 0-8 0-8 0-8 0-9 0-10');
    expect(rangesOf(mask, 1)).toBe('0-1 0-4 0-4 1-4 2-8 3-8 4-8 5-8 6-9 7-10');
  });

  test('blocks, in some layers', () => {
    const blocks = [
      { first: 0, end: 4 },
      { first: 4, end: 10 },
    ];
    const mask = blockMask((_, layer) => (layer === 0 ? blocks : undefined));
    expect(rangesOf(mask, 0)).toBe('0-4 0-4 0-4 0-4 4-10 4-10 4-10 4-10 4-10 4-10');
    expect(rangesOf(mask, 1)).toBe(new Array(10).fill('0-10').join(' '));
  });
});

test('what changed keys reach is whoever sees one of them', () => {
  const random = new Random(1);
  for (let trial = 0; trial < 200; trial++) {
    const length = 1 + random.integer(30);
    const ranges = randomRanges(random, length);
    const keys = random.permutation(length).slice(0, random.integer(4));
    const expected = ranges.flatMap(({ first, end }, p) =>
      keys.some((key) => key >= first && key < end) ? [p] : [],
    );
    expect(reached((p) => ranges[p]!, length, keys)).toEqual(expected);
  }
});

test('positions that see otherwise are those whose range differs', () => {
  const before = [
    { first: 0, end: 2 },
    { first: 0, end: 2 },
    { first: 1, end: 3 },
  ];
  const after = [
    { first: 0, end: 2 },
    { first: 1, end: 2 },
    { first: 1, end: 3 },
  ];
  expect(
    seenOtherwise(
      (p) => before[p]!,
      (p) => after[p]!,
      3,
    ),
  ).toEqual([1]);
});

/** Any range of keys for every position, at least one. */
function randomRanges(random: Random, length: number): KeyRange[] {
  return Array.from({ length }, () => {
    const first = random.integer(length);
    return { first, end: first + 1 + random.integer(length - first) };
  });
}

/** A mask of any ranges, other ones in every layer, and for runs of another kind. */
function randomMask(seed: number, kindOf: (run: Sequence) => number = () => 0): Mask {
  const random = new Random(seed);
  const kinds = [0, 1].map(() => Array.from({ length: CONFIG.layers }, () => randomRanges(random, LENGTH)));
  return (run, layer) => (p) => kinds[kindOf(run)]![layer]![p]!;
}

describe.each([
  ['a device', {}],
  ['a device without subgroups', { subgroups: false }],
] as const)('a tower with a mask of any ranges, on %s', (_, device) => {
  test('attends to them', async () => {
    const w = await testWork(device);
    const { tower, plain } = randomTower(w);
    const x = new Random(3).matrix(LENGTH, CONFIG.width);
    const run = rootRun(LENGTH);
    const mask = randomMask(11);
    const seen = new Map<string, Tensor>();
    const probe: Probe = {
      wants: (name) => name.endsWith('hook_z'),
      forks: () => [],
      visit: ({ name, tensor }) => {
        const { rows, columns } = tensor;
        const copy = w.empty(rows, columns, name);
        w.copy(tensor.buffer, 0, copy.buffer, 0, 4 * rows * columns);
        seen.set(name, copy);
      },
    };
    await tower.walk({ w, probe, runs: [run], mask }, upload(w, x), 0, 1);
    const { heads, keyHeads, headSize } = CONFIG;
    const projected = linear(rmsNorm(x, plain[0]!.norm, 1e-6), plain[0]!.queryKeyValue);
    const part = (first: number, count: number) =>
      projected.map((row) => Array.from(row).slice(first * headSize, (first + count) * headSize));
    const queries = Array.from({ length: LENGTH }, (_, query) => {
      const { first, end } = mask(run, 0)(query);
      return { query, keys: Array.from({ length: end - first }, (_, i) => first + i) };
    });
    const results = attention(
      part(0, heads),
      part(heads, keyHeads),
      part(heads + keyHeads, keyHeads),
      CONFIG,
      queries,
    );
    const z = Float64Array.from(results.flatMap((row) => row.flatMap((head) => head.z)));
    const actual = await read(w, seen.get('tower.blocks.0.attn.hook_z')!);
    expectClose(actual, z, { ofMax: 2e-6, name: 'z' });
  });

  test('computes of a changed run what differs, with the bits of a whole run', async () => {
    const w = await testWork(device);
    const { tower } = randomTower(w);
    const random = new Random(5);
    const x = random.matrix(LENGTH, CONFIG.width);
    // Each changed run has other values at some positions; two see otherwise than their base.
    const changes = [[70], [0], [149], [3, 64, 128], [], [100]];
    const own = changes.map((positions) => positions.map(() => random.vector(CONFIG.width)));
    const base = rootRun(LENGTH);
    const rows = [...x];
    const derived = changes.map((positions, i) => {
      const run = new Sequence(LENGTH, { base });
      positions.forEach((p, k) => {
        run.rows[p] = rows.push(own[i]![k]!) - 1;
      });
      return run;
    });
    const otherwise = new Set([derived[4], derived[5]]);
    const mask = randomMask(13, (run) => (otherwise.has(run) ? 1 : 0));
    const result = await tower.walk({ w, probe: NO_PROBE, runs: [base, ...derived], mask }, upload(w, rows));
    const together = toRows(await read(w, result), CONFIG.width);
    for (const [i, run] of derived.entries()) {
      const whole = rootRun(LENGTH);
      if (otherwise.has(run)) otherwise.add(whole);
      const values = x.map((row, p) => own[i]![changes[i]!.indexOf(p)] ?? row);
      const alone = await read(
        w,
        await tower.walk({ w, probe: NO_PROBE, runs: [whole], mask }, upload(w, values)),
      );
      const actual = Float32Array.from(
        Array.from({ length: LENGTH }, (_, p) => Array.from(together[run.row(p)]!)).flat(),
      );
      expectSameBits(actual, alone, { name: `run ${i}`, shape: [LENGTH, CONFIG.width] });
    }
  });

  test('gives rows to the positions that a change reaches, and to no others', async () => {
    const w = await testWork(device);
    const { tower } = randomTower(w);
    const x = new Random(5).matrix(LENGTH + 1, CONFIG.width);
    const base = rootRun(LENGTH);
    const run = new Sequence(LENGTH, { base });
    run.rows[70] = LENGTH;
    const mask = randomMask(13);
    await tower.walk({ w, probe: NO_PROBE, runs: [base, run], mask }, upload(w, x), 0, 1);
    const positions = new Set([70, ...reached(mask(run, 0), LENGTH, [70])]);
    expect(positions.size).toBeLessThan(LENGTH);
    expect(run.ownPositions).toEqual([...positions].sort((a, b) => a - b));
  });

  test('is the same for who looks at scores and patterns', async () => {
    const w = await testWork(device);
    const { tower } = randomTower(w);
    const x = new Random(9).matrix(LENGTH, CONFIG.width);
    const mask = randomMask(17);
    const walk = async (probe: Probe) =>
      read(w, await tower.walk({ w, probe, runs: [rootRun(LENGTH)], mask }, upload(w, x)));
    const alone = await walk(NO_PROBE);
    const looked = await walk({ ...NO_PROBE, wants: (name) => /attn_scores|pattern/.test(name) });
    expectSameBits(looked, alone, { shape: [LENGTH, CONFIG.width] });
  });
});
