// Cuts where columns of the scores begin behind the first key (sliding windows), tiles, and chunks: which edges they mean, against
// f64 attention without them.

import { expect, test } from 'vitest';
import { attentionScores, attentionSoftmax, attentionValues, uploadPlan } from '../../src/kernels/index.ts';
import { type AttentionRun, attendance } from '../../src/models/tower/attend.ts';
import { type Cut, cutChunk, cutsOf, ranges } from '../../src/models/tower/cuts.ts';
import { Sequence } from '../../src/models/tower/index.ts';
import type { Seen } from '../../src/models/tower/mask.ts';
import { EPSILON, read, upload } from '../kernels/support.ts';
import { attention, toRows } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';

const [HEADS, KEY_HEADS, SIZE] = [4, 2, 8];
const range = (end: number, first = 0) => Array.from({ length: end - first }, (_, i) => first + i);

/** A run all of whose positions have rows, from `first` on. */
function rooted(length: number, first: number): Sequence {
  const run = new Sequence(length);
  for (const p of range(length)) run.rows[p] = first + p;
  return run;
}

interface Layout {
  readonly name: string;
  readonly seen: Seen;
  /** Positions of a tile; default all. */
  readonly tile?: number;
}

test.each<Layout>([
  { name: 'a window of 70 keys', seen: (p) => ({ first: Math.max(0, p - 69), end: p + 1 }) },
  { name: 'causal', seen: (p) => ({ first: 0, end: p + 1 }) },
  { name: 'tiles', tile: 50, seen: (p) => ({ first: p - (p % 50), end: p - (p % 50) + 50 }) },
])('$name, in chunks and at once', async ({ seen, tile = 200 }) => {
  const w = await testWork();
  const length = 200;
  const random = new Random(4);
  const run = rooted(length, 0);
  // A second run with keys of its own, in which nothing is cut.
  const other = rooted(length, length);
  const q = random.matrix(2 * length, HEADS * SIZE);
  const k = random.matrix(2 * length, KEY_HEADS * SIZE);
  const v = random.matrix(2 * length, KEY_HEADS * SIZE);
  const attending = [run, other].flatMap((one) =>
    range(length / tile).map((t): AttentionRun => {
      const start = t * tile;
      return {
        run: one,
        keys: Uint32Array.from(range(tile), (i) => one.row(start + i)),
        queryRow: (p) => one.row(p),
        positions: range(start + tile, start),
        seen: (p) => ({ first: seen(p).first - start, end: seen(p).end - start }),
        start,
      };
    }),
  );
  let found = 0;
  const of = (queries: readonly number[], keys: readonly number[], heads?: readonly number[]): Cut => ({
    ...{ runs: [run], queries, keys: ranges(keys), heads, counter: 0, silent: false },
    found: (edges) => {
      found += edges;
    },
  });
  const list = [
    of([150, 199, 20, 61], [0, 1, 19, 60, 140, 141, 149, 150, 199], [0, 2, 3]),
    of([199], range(length)),
    of([70, 130], range(129, 64)),
  ];
  const isCut = (query: number, head: number, key: number) =>
    list.some(
      ({ queries, keys, heads }) =>
        queries.includes(query) &&
        (heads?.includes(head) ?? true) &&
        keys.some(({ first, end }) => key >= first && key < end),
    );
  const shape = { heads: HEADS, keyHeads: KEY_HEADS, headSize: SIZE };
  const results: Float32Array[] = [];
  for (const [bytes, looked] of [
    [1e9, false],
    [60_000, false],
    [1e9, true],
  ] as const) {
    found = 0;
    const layout = attendance(attending, 2 * length, HEADS, bytes, looked);
    expect(layout.plan.chunks.length > 1).toBe(bytes < 1e9);
    const fired = w.uploadWords(new Uint32Array(1), 'fired');
    const cuts = cutsOf({ list, fired }, layout, HEADS, 'scores');
    const tables = uploadPlan(w, layout.plan);
    const z = w.empty(2 * length, HEADS * SIZE, 'z');
    for (const chunk of layout.plan.chunks) {
      const scores = attentionScores(w, upload(w, q), upload(w, k), shape, tables, chunk);
      cutChunk(w, scores, HEADS, chunk, cuts, fired);
      attentionSoftmax(w, scores, HEADS, tables, chunk, true);
      attentionValues(w, scores, upload(w, v), z, shape, tables, chunk);
    }
    results.push(Float32Array.from(await read(w, z)));
    const counted = await read(w, { buffer: fired, rows: 1, columns: 1, stride: 1, offset: 0 });
    expect(new Uint32Array(counted.buffer)[0]).toBe(found);
    expect(found).toBeGreaterThan(HEADS);
  }
  const [whole, chunked, looked] = results as [Float32Array, Float32Array, Float32Array];
  expect(chunked).toEqual(whole);
  expect(looked).toEqual(whole);
  const rows = toRows(whole, HEADS * SIZE);
  let empty = 0;
  for (const [r, one] of [run, other].entries()) {
    for (const head of range(HEADS)) {
      const left = range(length).map((query) => {
        const { first, end } = seen(query);
        return range(end, first).filter((key) => r > 0 || !isCut(query, head, key));
      });
      const expected = attention(
        q,
        k,
        v,
        shape,
        left.map((keys, query) => ({ query: one.row(query), keys: keys.map((key) => one.row(key)) })),
      );
      left.forEach((keys, query) => {
        if (keys.length === 0) empty++;
        const z = rows[one.row(query)]!.slice(head * SIZE, (head + 1) * SIZE);
        const values = keys.length === 0 ? new Float64Array(SIZE) : expected[query]![head]!.z;
        // A softmax over up to 200 keys, and sums of as many products of numbers of about 1.
        expectClose(z, values, { atol: 400 * EPSILON, name: `query ${query} head ${head}` });
      });
    }
  }
  expect(empty).toBe(HEADS);
});
