import { describe, expect, it } from 'vitest';
import {
  attentionScores,
  attentionSoftmax,
  attentionValues,
  cutScores,
  planAttention,
  type ScoreCut,
  silenceRows,
  uploadPlan,
} from '../../src/kernels/index.ts';
import { attention, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { all } from './attention-support.ts';
import { DEVICES, EPSILON, expectShapeErrors, read, upload } from './support.ts';

const [QUERIES, KEYS, HEADS, KEY_HEADS, SIZE] = [9, 70, 4, 2, 8];

/** Of query 1 all, of query 2 all but key 69 in heads 1 and 2, of query 5 a part longer than a workgroup, and once more a part of it. */
const CUTS: readonly ScoreCut[] = [
  { entry: 1, firstHead: 0, heads: 4, firstColumn: 0, columns: 70, counter: 0 },
  { entry: 2, firstHead: 1, heads: 2, firstColumn: 0, columns: 69, counter: 1 },
  { entry: 5, firstHead: 3, heads: 1, firstColumn: 2, columns: 66, counter: 1 },
  { entry: 5, firstHead: 2, heads: 2, firstColumn: 60, columns: 3, counter: 2 },
];

const isCut = (query: number, head: number, key: number) =>
  CUTS.some(
    (cut) =>
      cut.entry === query &&
      head >= cut.firstHead &&
      head < cut.firstHead + cut.heads &&
      key >= cut.firstColumn &&
      key < cut.firstColumn + cut.columns,
  );

describe.each(DEVICES)('on %s', (_, device) => {
  it('edges that are cut, in some heads; a query with no edge left has pattern 0 and z = 0', async () => {
    const w = await testWork(device);
    const random = new Random(6);
    const q = random.matrix(QUERIES, HEADS * SIZE);
    const [k, v] = [random.matrix(KEYS, KEY_HEADS * SIZE), random.matrix(KEYS, KEY_HEADS * SIZE)];
    const shape = { heads: HEADS, keyHeads: KEY_HEADS, headSize: SIZE };
    const queries = all(QUERIES).map((query) => ({ query, out: query, keys: KEYS }));
    const plan = planAttention([{ keys: Uint32Array.from(all(KEYS)), queries }], HEADS, 1e9);
    const tables = uploadPlan(w, plan);
    const [chunk] = plan.chunks as [(typeof plan.chunks)[number]];
    const fired = w.uploadWords(new Uint32Array(3), 'fired');
    const scores = attentionScores(w, upload(w, q), upload(w, k), shape, tables, chunk);
    const whole = await read(w, scores);
    cutScores(w, scores, HEADS, CUTS, fired);
    const masked = await read(w, scores);
    attentionSoftmax(w, scores, HEADS, tables, chunk, true);
    const pattern = await read(w, scores);
    const z = w.empty(QUERIES, HEADS * SIZE, 'z');
    attentionValues(w, scores, upload(w, v), z, shape, tables, chunk);
    const found = toRows(await read(w, z), HEADS * SIZE);

    const at = (query: number, head: number, key: number) => (query * HEADS + head) * plan.pitch + key;
    for (const query of all(QUERIES)) {
      for (const head of all(HEADS)) {
        const keys = all(KEYS).filter((key) => !isCut(query, head, key));
        for (const key of all(KEYS)) {
          const expected = isCut(query, head, key) ? Number.NEGATIVE_INFINITY : whole[at(query, head, key)];
          expect(masked[at(query, head, key)]).toBe(expected);
        }
        const own = found[query]!.slice(head * SIZE, (head + 1) * SIZE);
        if (keys.length === 0) {
          for (const key of all(KEYS)) expect(pattern[at(query, head, key)]).toBe(0);
          expectSameBits(Float32Array.from(own), new Float32Array(SIZE));
          continue;
        }
        const [results] = attention(q, k, v, shape, [{ query, keys }]);
        const { pattern: weights, z: values } = results![head]!;
        // As in attention.test.ts: chains of 8 and 70 f32 operations on numbers of about 1.
        keys.forEach((key, j) => {
          expectClose([pattern[at(query, head, key)]!], [weights[j]!], { atol: 100 * EPSILON });
        });
        expectClose(own, values, { atol: 200 * EPSILON });
      }
    }
    const counted = await read(w, { buffer: fired, rows: 1, columns: 3, stride: 3, offset: 0 });
    expect([...new Uint32Array(counted.buffer)]).toEqual([4 * 70, 2 * 69 + 66, 2 * 3]);
  });

  it('rows that attend to nothing are silenced, of those that are named', async () => {
    const w = await testWork(device);
    const random = new Random(7);
    const z = random.matrix(6, 70);
    for (const row of [1, 3, 4]) z[row]!.fill(0);
    (z[4] as Float32Array)[69] = 1e-30;
    const y = random.matrix(6, 130);
    const tensor = upload(w, y);
    silenceRows(w, upload(w, z), tensor, [0, 1, 4]);
    const expected = y.map((row, r) => (r === 1 ? new Float32Array(130) : Float32Array.from(row)));
    toRows(await read(w, tensor), 130).forEach((row, r) => {
      expectSameBits(Float32Array.from(row), expected[r]!);
    });
  });
});

it('what does not fit', async () => {
  const w = await testWork();
  const scores = upload(w, new Random(1).matrix(2, 8));
  const fired = w.uploadWords(new Uint32Array(1), 'fired');
  const cut = { entry: 0, firstHead: 0, heads: 1, firstColumn: 0, columns: 4, counter: 0 };
  expectShapeErrors([
    [() => cutScores(w, scores, 2, [{ ...cut, entry: 2 }], fired), /cutting scores .*"entry":2/],
    [() => cutScores(w, scores, 2, [{ ...cut, firstHead: 1, heads: 2 }], fired), /"firstHead":1/],
    [() => cutScores(w, scores, 2, [{ ...cut, columns: 5 }], fired), /"columns":5/],
    [() => silenceRows(w, scores, scores, [2]), /row 2/],
  ]);
});
