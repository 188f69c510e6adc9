import { describe, expect, it } from 'vitest';
import { columnsOf } from '../../src/gpu/index.ts';
import { logSumExp, type Metric, metricValues, restoration } from '../../src/kernels/index.ts';
import * as reference from '../reference/index.ts';
import { flatten, type Matrix } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { DEVICES, EPSILON, expectShapeErrors, read, upload } from './support.ts';

/** The vocabularies of BLIP-VQA and LLaVA, a prime, one. */
const VOCABULARIES = [30524, 32064, 13, 1];

describe.each(DEVICES)('on %s', (_, device) => {
  it.each(VOCABULARIES)('log-sum-exp over %i logits, and the logits of some tokens', async (V) => {
    const w = await testWork(device);
    const random = new Random(V);
    for (const spread of [1, 30]) {
      const logits = random.matrix(3, V, { spread });
      const ids = logits.map(() => [V - 1, 0, random.integer(V)]);
      const actual = reference.toRows(await read(w, logSumExp(w, upload(w, logits), ids)), 4);
      const expected = reference.logSumExp(logits, ids);
      // The sum is off by 2⁻²⁴ √V of itself (as in norm.test.ts); exp and log by some ulp; the result is rounded.
      const atol = expected.map((row) => EPSILON * (Math.sqrt(V) + 32 + 2 * Math.abs(row[0]!)));
      expectClose(
        actual.map((row) => row[0]!),
        expected.map((row) => row[0]!),
        { atol },
      );
      const tokens = (rows: Matrix) => Float32Array.from(rows.flatMap((row) => Array.from(row).slice(1)));
      expectSameBits(tokens(actual), tokens(expected));
    }
  });

  it('log-sum-exp of chosen rows, far from zero, and without tokens', async () => {
    const w = await testWork(device);
    const logits = [
      Float32Array.of(-500, -501, -502),
      Float32Array.of(0, 1, 2),
      Float32Array.of(500, 500, -500),
    ];
    const rows = [2, 0, 2, 1];
    const none = rows.map(() => []);
    const actual = await read(w, logSumExp(w, upload(w, logits), none, rows));
    const chosen = rows.map((row) => logits[row]!);
    expectClose(actual, flatten(reference.logSumExp(chosen, none)), { rtol: 4 * EPSILON });
  });

  it('the numbers of patched runs', async () => {
    const w = await testWork(device);
    const random = new Random(9);
    // 70 runs: more than one workgroup. The log-sum-exp of a real vocabulary lies above its logits.
    const scores = Array.from({ length: 70 }, () => {
      const [correct, incorrect] = random.vector(2, { spread: 10 });
      return Float32Array.of(10 + 2 * random.next(), correct!, incorrect!);
    });
    const rows = scores.map((_, patched) => ({ patched, corrupt: 68, clean: 69 }));
    const actual = reference.toRows(await read(w, restoration(w, upload(w, scores), rows)), 4);
    const expected = reference.restoration(scores, rows);
    const column = (values: Matrix, c: number) => values.map((row) => row[c]!);
    // Differences of logits up to 10 round at 2⁻²⁴ · 20 each.
    const rounding = 40 * EPSILON;
    const range = Math.abs(scores[69]![1]! - scores[69]![2]! - (scores[68]![1]! - scores[68]![2]!));
    // The exponent is off by `rounding`, exp by some ulp.
    expectClose(column(actual, 0), column(expected, 0), { rtol: 2 * rounding });
    expectClose(column(actual, 1), column(expected, 1), { atol: 4 * rounding });
    expectClose(column(actual, 2), column(expected, 2), { atol: 2 * rounding });
    expectClose(column(actual, 3), column(expected, 3), {
      atol: (2 * rounding) / range,
      rtol: (2 * rounding) / range,
    });
    expect(actual[68]![2]).toBe(0); // the corrupt run itself: no effect, exactly
    expect(actual[69]![3]).toBe(1); // the clean run itself: all of it
  });

  it.each(VOCABULARIES)('every metric, of %i logits', async (V) => {
    const w = await testWork(device);
    const random = new Random(V + 1);
    const logits = random.matrix(3, V, { spread: 10 });
    const [token, other] = [random.integer(V), V - 1];
    const weights = [random.vector(V), random.vector(V, { spread: 5 })];
    const metrics: readonly Metric[] = [
      { kind: 'weights', weights: weights[1]! },
      { kind: 'logit-difference', correct: token, incorrect: other },
      { kind: 'logit', token: other },
      { kind: 'probability', token },
      { kind: 'log-probability', token },
      { kind: 'weights', weights: weights[0]! },
    ];
    // Rows in another order, metrics mixed, and weights that are used twice.
    const runs = [2, 0, 1].flatMap((row) => metrics.map((metric) => ({ logits: row, scores: row, metric })));
    const tensor = upload(w, logits);
    const scores = logSumExp(
      w,
      tensor,
      logits.map(() => [0]),
    );
    const actual = await read(w, metricValues(w, tensor, scores, runs));
    const expected = runs.map(({ logits: row, metric }) => reference.metricValue(logits[row]!, metric));
    // Of log-sum-exp as above; a probability is off by as much of itself. A sum of f32 products is off by at most
    // V / 64 + 8 roundings of the sum of their sizes.
    const lse = EPSILON * (Math.sqrt(V) + 64 + 2 * 40);
    const sizes = (row: number, metric: Metric) =>
      'weights' in metric
        ? logits[row]!.reduce((sum, value, v) => sum + Math.abs(value * metric.weights[v]!), 0)
        : 0;
    const atol = runs.map(({ logits: row, metric }) => lse + EPSILON * (V / 64 + 8) * sizes(row, metric));
    expectClose(actual, expected, { atol });
    // Differences and logits are exact but for one rounding.
    runs.forEach(({ metric }, i) => {
      if (metric.kind.startsWith('logit')) expect(actual[i]).toBe(Math.fround(expected[i]!));
    });
  });

  it('weights are summed in the order that is promised', async () => {
    const w = await testWork(device);
    const V = 1000;
    const logits = new Random(5).vector(V, { spread: 10 });
    const partial = Array.from({ length: 64 }, (_, t) => {
      let total = 0;
      for (let v = t; v < V; v += 64) total = Math.fround(total + logits[v]!);
      return total;
    });
    for (let step = 32; step >= 1; step /= 2)
      for (let t = 0; t < step; t++) partial[t] = Math.fround(partial[t]! + partial[t + step]!);
    // Factors of 1, so that a product that is fused with its sum has the same bits.
    const metric = { kind: 'weights', weights: new Float32Array(V).fill(1) } as const;
    const row = upload(w, [logits]);
    const values = metricValues(w, row, logSumExp(w, row, [[]]), [{ logits: 0, scores: 0, metric }]);
    expectSameBits(await read(w, values), Float32Array.of(partial[0]!));
  });

  it('an effect without a range is NaN', async () => {
    const w = await testWork(device);
    const scores = [Float32Array.of(3, 2, 1), Float32Array.of(3, 1, 1)];
    const rows = [
      { patched: 0, corrupt: 1, clean: 1 },
      { patched: 1, corrupt: 1, clean: 1 },
    ];
    const values = await read(w, restoration(w, upload(w, scores), rows));
    expect([values[3], values[7]]).toEqual([Number.NaN, Number.NaN]);
  });
});

describe('what does not fit', () => {
  it('is named', async () => {
    const w = await testWork();
    const logits = w.empty(2, 5, 'logits');
    const scores = w.empty(2, 3, 'scores');
    const metricOf = (metric: Metric, row: object = {}) =>
      metricValues(w, logits, scores, [{ logits: 0, scores: 0, metric, ...row }]);
    expectShapeErrors([
      [() => logSumExp(w, logits, [[1]], [0, 1]), /1 lists of token ids for 2 rows of logits \[2, 5\]/],
      [() => logSumExp(w, logits, [[1], [1, 2]]), /lists of token ids/],
      [() => logSumExp(w, columnsOf(logits, 0, 4), [[1], [1]]), /lists of token ids .* logits \[2, 4\]/],
      [() => logSumExp(w, logits, [[1], [1]], [0, 2]), /row 2 of logits \[2, 5\]/],
      [() => logSumExp(w, logits, [[1], [5]]), /token id 5 is outside the vocabulary of 5/],
      [() => metricOf({ kind: 'logit', token: 1 }, { scores: 2 }), /row 0 of logits \[2, 5\] with row 2 of/],
      [() => metricOf({ kind: 'logit', token: 1 }, { logits: 2 }), /row 2 of logits \[2, 5\]/],
      [() => metricOf({ kind: 'probability', token: 5 }), /token id 5 is outside the vocabulary of 5/],
      [() => metricOf({ kind: 'logit-difference', correct: 0, incorrect: -1 }), /token id -1 is outside/],
      [() => metricOf({ kind: 'weights', weights: new Float32Array(4) }), /4 weights for a vocabulary of 5/],
      [() => metricValues(w, columnsOf(logits, 0, 4), scores, []), /logits \[2, 4\] .* must be contiguous/],
      [() => restoration(w, logits, []), /expects scores \[\*, 3\], found \[2, 5\]/],
      [() => restoration(w, scores, [{ patched: 0, corrupt: 2, clean: 1 }]), /run 2 of scores \[2, 3\]/],
    ]);
  });
});
