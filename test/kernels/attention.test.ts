import { describe, it } from 'vitest';
import {
  type AttentionPlan,
  type AttentionShape,
  attentionScores,
  attentionValues,
  planAttention,
  uploadPlan,
} from '../../src/kernels/index.ts';
import { attention, type HeadResult, type Matrix, norm } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { all, attend, type GroupRows, layGroups } from './attention-support.ts';
import { around, DEVICES, EPSILON, expectShapeErrors, framed, read, uploadWindow } from './support.ts';

interface Case {
  readonly name: string;
  /** Query heads, key heads, features of a head. */
  readonly shape: readonly [heads: number, keyHeads: number, headSize: number];
  readonly groups: readonly GroupRows[];
  readonly scoreScale?: number;
  readonly scoreSoftcap?: number;
  /** Default: all scores at once. */
  readonly scratchBytes?: number;
}

const bidirectional = (tokens: number): readonly GroupRows[] => [[all(tokens), all(tokens)]];
const causal = (tokens: number): readonly GroupRows[] => [[all(tokens), all(tokens), (query) => query + 1]];

const sliding = (tokens: number, window: number): readonly GroupRows[] => [
  [all(tokens), all(tokens), (query) => [Math.max(0, query + 1 - window), query + 1]],
];

const CASES: readonly Case[] = [
  {
    name: 'bidirectional over 577 tokens in four chunks',
    shape: [2, 2, 64],
    groups: bidirectional(577),
    scratchBytes: 700_000,
  },
  { name: 'bidirectional over 50', shape: [12, 12, 64], groups: bidirectional(50) },
  { name: 'bidirectional over 17', shape: [3, 3, 8], groups: bidirectional(17) },
  { name: 'bidirectional over 13', shape: [4, 4, 10], groups: bidirectional(13) },
  { name: 'one token', shape: [1, 1, 1], groups: bidirectional(1) },
  { name: 'causal over 65 in chunks', shape: [6, 2, 8], groups: causal(65), scratchBytes: 20_000 },
  { name: 'causal over 41', shape: [4, 1, 128], groups: causal(41) },
  { name: 'causal over 9', shape: [3, 3, 10], groups: causal(9) },
  { name: 'cross from 7 to 37', shape: [4, 4, 10], groups: [[all(7), all(37)]] },
  {
    name: 'runs that share the keys of a base beside their own',
    shape: [5, 5, 8],
    groups: [
      [all(20), all(20)],
      [
        [20, 21],
        [...all(10), 30, 31, 32, ...all(20).slice(13)],
      ],
      [[22], [...all(19), 33]],
      [
        [23, 24, 25, 3, 3],
        [39, 34, 5, 5, 12],
      ],
    ],
  },
  {
    name: 'rows that see few keys of many (padding)',
    shape: [2, 1, 12],
    groups: [[all(12), all(97), (query) => [1, 97, 2, 50, 4, 5][query % 6]!]],
  },
  { name: 'sliding windows of 20 over 150', shape: [4, 2, 8], groups: sliding(150, 20) },
  {
    name: 'sliding windows of 70 over 150 in chunks',
    shape: [2, 1, 10],
    groups: sliding(150, 70),
    scratchBytes: 30_000,
  },
  {
    name: 'windows of 13, each a block',
    shape: [3, 3, 64],
    groups: [[all(143), all(143), (query) => [query - (query % 13), query - (query % 13) + 13]]],
  },
  {
    name: 'any ranges, of several runs',
    shape: [2, 2, 12],
    groups: [
      [all(30), all(200), (query) => [query * 5, 200 - query]],
      [[30, 31, 32, 5], [...all(90), 205], (query) => [query % 2 ? 64 : 90, 91]],
    ],
  },
  {
    name: 'scores of another scale, softcapped, in windows',
    shape: [4, 2, 16],
    groups: sliding(90, 9),
    scoreScale: 0.7,
    scoreSoftcap: 5,
  },
  { name: 'softcapped', shape: [2, 2, 10], groups: causal(40), scoreSoftcap: 3 },
];

/** Margins that leave heads aligned to four elements, and others that do not. */
const ALIGNED = { left: 4, right: 8, above: 1 };
const UNALIGNED = { left: 3, right: 4, above: 1 };

/** Operands and expected result of a case, made once for all devices. */
function prepare({ name, shape: sizes, groups: rows, scratchBytes, ...settings }: Case) {
  const [heads, keyHeads, headSize] = sizes;
  const groups = layGroups(rows);
  const shape: AttentionShape = {
    heads,
    keyHeads,
    headSize,
    scoreScale: settings.scoreScale,
    scoreSoftcap: settings.scoreSoftcap,
  };
  const random = new Random(headSize);
  const rowCount = (lists: readonly (readonly number[])[]) => Math.max(...lists.flat()) + 1;
  const keyRows = rowCount(rows.map(([, keys]) => keys));
  const q = random.matrix(rowCount(rows.map(([queries]) => queries)), heads * headSize, { spread: 2 });
  const k = random.matrix(keyRows, keyHeads * headSize, { spread: 2 });
  const v = random.matrix(keyRows, keyHeads * headSize);
  const queries = groups.flatMap((group) =>
    group.queries.map(({ query, first, keys }) => ({ query, keys: [...group.keys.subarray(first, keys)] })),
  );
  let known: HeadResult[][] | undefined;
  const reference = () => {
    known ??= attention(q, k, v, shape, queries);
    return known;
  };
  const title = `${name}, ${heads} heads (${keyHeads} for keys) of ${headSize}`;
  const plan = planAttention(groups, heads, scratchBytes ?? Number.POSITIVE_INFINITY);
  return { title, shape, plan, q, k, v, reference };
}

/**
 * Scores are chains of d_head products (see matmul.test.ts). The pattern's exponents are off by twice that much, exp
 * itself by (3 + 2 |s|) ulp and the sum over n keys by 2⁻²⁴ √n; z adds one more chain, over values of at most 1.
 */
function tolerances(q: Matrix, k: Matrix, { headSize, scoreScale = headSize ** -0.5 }: AttentionShape) {
  const largest = (x: Matrix) => Math.max(...x.map(norm));
  const size = largest(q) * largest(k) * scoreScale;
  const scores = 5 * EPSILON * size;
  const pattern = 2 * scores + EPSILON * (Math.sqrt(k.length) + 2 * (3 + 4 * size));
  return { scores, pattern, z: pattern + 4 * EPSILON };
}

/** [entries, heads, pitch] of what is expected, `fill` where an entry sees no key: before its first, behind its last. */
function padded(
  results: readonly HeadResult[][],
  kind: 'scores' | 'pattern',
  { pitch, firsts }: AttentionPlan,
  fill: number,
): Float64Array {
  const keys = all(pitch);
  return Float64Array.from(
    results.flatMap((heads, e) =>
      heads.flatMap((head) => keys.map((j) => head[kind][j - (firsts?.[e] ?? 0)] ?? fill)),
    ),
  );
}

const prepared = CASES.map((c) => {
  const operands = prepare(c);
  return [operands.title, operands] as const;
});

describe.each(DEVICES)('attention on %s', (_, device) => {
  it.each(prepared)('%s', async (_title, { shape, plan, q, k, v, reference }) => {
    const w = await testWork(device);
    const results = reference();
    const tolerance = tolerances(q, k, shape);
    for (const margins of [ALIGNED, UNALIGNED]) {
      // Two rows more than there are results: they stay as they are.
      const before = all(results.length + 2).map(() =>
        new Float32Array(shape.heads * shape.headSize).fill(7),
      );
      const z = uploadWindow(w, before, margins);
      const operands = {
        q: uploadWindow(w, q, margins),
        k: uploadWindow(w, k, margins),
        v: uploadWindow(w, v, margins),
        z,
      };
      const { scores, pattern } = await attend(w, operands, shape, plan);
      const inPlan = { shape: [results.length, shape.heads, plan.pitch] };
      expectClose(scores, padded(results, 'scores', plan, Number.NEGATIVE_INFINITY), {
        ...inPlan,
        name: 'scores',
        atol: tolerance.scores,
      });
      expectClose(pattern, padded(results, 'pattern', plan, 0), {
        ...inPlan,
        name: 'pattern',
        rtol: tolerance.pattern,
      });
      const expected = [...results].reverse().map((heads) => heads.flatMap((head) => head.z));
      expectClose(await read(w, around(z, margins)), framed([...expected, ...before.slice(-2)], margins), {
        name: 'z',
        atol: tolerance.z,
      });
    }
  });
});

describe('shapes that do not fit', () => {
  it('are named', async () => {
    const w = await testWork();
    const groups = layGroups([[all(3), all(5)]]);
    const plan = planAttention(groups, 2, Number.POSITIVE_INFINITY);
    const tables = uploadPlan(w, plan);
    const [chunk] = plan.chunks;
    const shape = { heads: 2, keyHeads: 1, headSize: 4 };
    const rows = (columns: number) => w.empty(5, columns, 'rows');
    expectShapeErrors([
      [
        () => attentionScores(w, rows(9), rows(4), shape, tables, chunk!),
        /queries \[5, 9\] are not 2 heads of 4/,
      ],
      [
        () => attentionScores(w, rows(8), rows(8), shape, tables, chunk!),
        /keys \[5, 8\] are not 1 heads of 4/,
      ],
      [
        () => attentionScores(w, rows(8), rows(12), { ...shape, keyHeads: 3 }, tables, chunk!),
        /2 heads cannot share 3 key heads/,
      ],
      [
        () => attentionValues(w, rows(16), rows(5), rows(8), shape, tables, chunk!),
        /values \[5, 5\] are not 1 heads of 4/,
      ],
      [
        () => attentionValues(w, rows(16), rows(4), rows(7), shape, tables, chunk!),
        /results \[5, 7\] are not 2 heads of 4/,
      ],
    ]);
  });
});
