import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ResamplingOptions,
  type SampleValues,
  signFlipTests,
  summarizeAll,
  wilsonInterval,
} from '../../src/analysis/inference.ts';
import { seeded } from '../../src/random.ts';

/** One test alone. */
const summarize = (values: readonly number[], options?: ResamplingOptions) => {
  const [summary] = summarizeAll([values], options);
  return summary!;
};
const bootstrapInterval = (values: readonly number[], options?: ResamplingOptions) => {
  const { low, high } = summarize(values, options);
  return { low, high };
};
const signFlipPValue = (values: readonly number[], options?: ResamplingOptions) =>
  signFlipTests([values], options)[0]!.p;

describe('bootstrap interval', () => {
  it('has the quantiles of the binomial distribution for zeros and ones', () => {
    // 12 ones of 40: resampled means follow Binomial(40, 0.3) / 40, whose 2.5 % and 97.5 % quantiles are 7 and 18
    // (SciPy: P(X ≤ 6) = 0.0238, P(X ≤ 17) = 0.968, P(X ≤ 18) = 0.985).
    const values = Array.from({ length: 40 }, (_, i) => (i < 12 ? 1 : 0));
    expect(bootstrapInterval(values)).toEqual({ low: 7 / 40, high: 18 / 40 });
  });

  it('covers the true mean about 95 times in 100', () => {
    const random = seeded('coverage');
    let covered = 0;
    for (let run = 0; run < 400; run++) {
      const { low, high } = bootstrapInterval(
        Array.from({ length: 40 }, () => random.normal() + 3),
        { seed: run, resamples: 999 },
      );
      if (low <= 3 && 3 <= high) covered++;
    }
    // Percentile intervals of 40 values cover a little less than they should; three standard errors are 0.033.
    expect(covered / 400).toBeGreaterThan(0.9);
    expect(covered / 400).toBeLessThan(0.985);
  });

  it('is the value itself for one or equal values, and the same for the same seed', () => {
    expect(bootstrapInterval([2.5])).toEqual({ low: 2.5, high: 2.5 });
    const values = [1, 5, 2, 8];
    expect(bootstrapInterval(values, { seed: 'a' })).toEqual(bootstrapInterval(values, { seed: 'a' }));
    expect(summarize(values)).toMatchObject({ n: 4, mean: 4 });
  });

  it('refuses no values and values that are not finite', () => {
    expect(() => bootstrapInterval([])).toThrow(/test 0 has no values/);
    expect(() => bootstrapInterval([1, Number.NaN])).toThrow(/value 1 of test 0 is NaN/);
    expect(() => bootstrapInterval([1], { resamples: 0 })).toThrow(
      /resamples must be a positive integer, found 0/,
    );
  });

  it('tests with as many values draw the same samples; a missing sample is none of them', () => {
    const values = [1, 5, 2, 8, 3];
    const [a, b, c] = summarizeAll([
      values,
      values.map((x) => 10 * x),
      [1, undefined, 5, 2, 8, undefined, 3],
    ]);
    expect(b!.low).toBeCloseTo(10 * a!.low, 12);
    expect(b!.high).toBeCloseTo(10 * a!.high, 12);
    expect(c).toEqual(a);
  });
});

describe('sign-flip test', () => {
  it('is exact for few samples', () => {
    // scipy.stats.permutation_test(permutation_type='samples') on |mean|: 26 of 256.
    expect(signFlipPValue([1.2, -0.3, 0.8, 2.1, 0.05, -0.7, 1.9, 0.4])).toBe(26 / 256);
    expect(signFlipPValue([1, 2, 3, 4, 5])).toBe(2 / 32);
    expect(signFlipPValue([0, 0, 0])).toBe(1);
  });

  it.each([9, 10, 13])('is exact for %i samples, which take more than a byte of signs', (n) => {
    const random = seeded(`exact/${n}`);
    const values = Array.from({ length: n }, () => random.normal() + 0.4);
    const size = (pattern: number) =>
      Math.abs(values.reduce((sum, value, i) => sum + (pattern & (1 << i) ? value : -value), 0));
    const sizes = Array.from({ length: 2 ** n }, (_, pattern) => size(pattern));
    const observed = size(2 ** n - 1) * (1 - 1e-12);
    expect(signFlipPValue(values)).toBe(sizes.filter((other) => other >= observed).length / 2 ** n);
  });

  it('draws the same patterns for a seed for ever: published numbers do not change', () => {
    const random = seeded('for ever');
    const values = Array.from({ length: 29 }, () => random.normal() + 0.3);
    const hits = (seed: number) => Math.round(10000 * signFlipPValue(values, { seed }));
    expect([0, 1, 2].map(hits)).toEqual([3624, 3676, 3648]);
  });

  it('counts patterns that tie although their sums round differently', () => {
    // 0.1 + 0.2 and 0.3 differ in the last place; every pattern of the same magnitude must count.
    expect(signFlipPValue([0.1, 0.2, -0.3])).toBe(1);
    expect(signFlipPValue([0.1, 0.2, 0.3])).toBe(2 / 8);
  });

  it('is close to the full enumeration for more samples', () => {
    const values = [
      0.31, -0.12, 0.44, 0.27, -0.38, 0.51, 0.09, 0.22, -0.05, 0.61, -0.27, 0.18, 0.35, -0.41, 0.29, 0.13,
      -0.09, 0.47, 0.02, -0.16,
    ];
    const exact = 0.0870361328125; // all 2^20 patterns, enumerated in NumPy
    expect(Math.abs(signFlipPValue(values) - exact)).toBeLessThan(
      4 * Math.sqrt((exact * (1 - exact)) / 9999),
    );
  });

  it('is never 0 and uses all sign bits of long lists', () => {
    // Were the 32 bits of a draw not renewed, the effects after the first 32 would keep their sign: p = 1.
    const late = Array.from({ length: 100 }, (_, i) => (i < 32 ? 0 : 1));
    expect(signFlipPValue(late)).toBe(1 / 10_000);
  });

  it('is uniform when there is nothing to find', () => {
    const random = seeded('null');
    const p = Array.from({ length: 300 }, (_, run) =>
      signFlipPValue(
        Array.from({ length: 40 }, () => random.normal()),
        { seed: run, permutations: 199 },
      ),
    );
    const share = p.filter((value) => value <= 0.2).length / p.length;
    expect(Math.abs(share - 0.2)).toBeLessThan(4 * Math.sqrt((0.2 * 0.8) / p.length));
  });
});

/** Every pattern, every statistic and every maximum written out; Student's t where all tests have all samples. */
function naiveMaxT(tests: readonly SampleValues[], statistic: (values: readonly number[]) => number) {
  const samples = tests[0]!.length;
  const patterns = Array.from({ length: 2 ** samples }, (_, bits) =>
    Array.from({ length: samples }, (_, i) => ((bits >> i) & 1 ? 1 : -1)),
  );
  const value = (test: SampleValues, signs: readonly number[]) =>
    statistic(test.flatMap((x, i) => (x === undefined ? [] : [x * signs[i]!])));
  const observed = tests.map((test) => value(test, new Array<number>(samples).fill(1)));
  const share = (holds: (signs: number[]) => boolean) => patterns.filter(holds).length / patterns.length;
  const atLeast = (a: number, b: number) => a >= b - 1e-9 * Math.max(1, Math.abs(b));
  const order = tests.map((_, j) => j).sort((a, b) => observed[b]! - observed[a]!);
  const raw = order.map((j, place) =>
    share((signs) => order.slice(place).some((k) => atLeast(value(tests[k]!, signs), observed[j]!))),
  );
  return tests.map((test, j) => ({
    p: share((signs) => atLeast(value(test, signs), observed[j]!)),
    pAdjusted: Math.max(...raw.slice(0, order.indexOf(j) + 1)),
  }));
}

const sizeOf = (values: readonly number[]) => Math.abs(values.reduce((a, b) => a + b, 0));
const student = (values: readonly number[]) => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  return Math.abs(mean) / Math.sqrt(variance / values.length);
};
const standardized = (values: readonly number[]) =>
  sizeOf(values) / (Math.sqrt(values.reduce((sum, x) => sum + x * x, 0)) || 1);

describe('max-T over many tests', () => {
  it("equals the written-out permutation of Student's t", () => {
    const random = seeded('max-T');
    for (const samples of [1, 2, 5, 7]) {
      const tests = Array.from({ length: 6 }, (_, j) =>
        Array.from({ length: samples }, () => 10 ** (j - 3) * (random.normal() + (j % 3))),
      );
      // Of one sample there is no standard deviation; both of its patterns have the same size.
      const expected = naiveMaxT(tests, samples === 1 ? sizeOf : student);
      expect(signFlipTests(tests)).toEqual(expected);
    }
  });

  it('equals it for tests that lack samples, with zeros and ties', () => {
    const value = fc.option(fc.integer({ min: -3, max: 3 }), { nil: undefined });
    const tests = fc
      .integer({ min: 1, max: 6 })
      .chain((n) => fc.array(fc.array(value, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 5 }))
      .filter((rows) => rows.every((row) => row.some((x) => x !== undefined)));
    fc.assert(
      fc.property(tests, (rows) => {
        const found = signFlipTests(rows);
        naiveMaxT(rows, standardized).forEach(({ p, pAdjusted }, j) => {
          expect(found[j]!.p).toBeCloseTo(p, 12);
          expect(found[j]!.pAdjusted).toBeCloseTo(pAdjusted, 12);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('random patterns come close to all of them', () => {
    const random = seeded('random patterns');
    const tests = Array.from({ length: 5 }, (_, j) =>
      Array.from({ length: 12 }, () => random.normal() + 0.2 * j),
    );
    const exact = signFlipTests(tests); // 2^12 are no more than 10 000
    const drawn = signFlipTests(tests, { permutations: 4000 });
    exact.forEach(({ p, pAdjusted }, j) => {
      expect(Math.abs(drawn[j]!.p - p)).toBeLessThan(4 * Math.sqrt(0.25 / 4000));
      expect(Math.abs(drawn[j]!.pAdjusted - pAdjusted)).toBeLessThan(4 * Math.sqrt(0.25 / 4000));
    });
  });

  it('finds the one real effect among 1024 tests, and calls nothing else', () => {
    const random = seeded('one of many');
    const tests = Array.from({ length: 1024 }, (_, j) =>
      Array.from({ length: 40 }, () => random.normal() + (j === 700 ? 2 : 0)),
    );
    const found = signFlipTests(tests, { permutations: 999 });
    expect(found.flatMap(({ pAdjusted }, j) => (pAdjusted <= 0.05 ? [j] : []))).toEqual([700]);
    expect(found[700]!.pAdjusted).toBe(1 / 1000);
  });

  it('is wrong about anything in 5 of 100 runs without an effect, however the tests hang together', () => {
    const random = seeded('family-wise error');
    const runs = 400;
    let wrong = 0;
    for (let run = 0; run < runs; run++) {
      const common = Array.from({ length: 15 }, () => random.normal());
      const tests = Array.from({ length: 30 }, (_, j) =>
        common.map((shared) => (j % 2 ? shared : 0) + 10 ** (j % 4) * random.normal()),
      );
      const found = signFlipTests(tests, { seed: run, permutations: 199 });
      if (found.some(({ pAdjusted }) => pAdjusted <= 0.05)) wrong++;
    }
    // Four standard errors.
    expect(Math.abs(wrong / runs - 0.05)).toBeLessThan(4 * Math.sqrt((0.05 * 0.95) / runs));
  });

  it('is the same for the same seed, and refuses what cannot be tested', () => {
    const tests = [
      Array.from({ length: 20 }, (_, i) => Math.sin(i)),
      Array.from({ length: 20 }, (_, i) => i - 5),
    ];
    expect(signFlipTests(tests, { seed: 4 })).toEqual(signFlipTests(tests, { seed: 4 }));
    expect(signFlipTests(tests, { seed: 4 })).not.toEqual(signFlipTests(tests, { seed: 5 }));
    expect(signFlipTests([])).toEqual([]);
    expect(() => signFlipTests([[1, 2], [1]])).toThrow(/test 1 has 1 samples, not 2/);
    expect(() => signFlipTests([[1], [undefined]])).toThrow(/test 1 has no values/);
    expect(() => signFlipTests([[Number.POSITIVE_INFINITY]])).toThrow(/value 0 of test 0 is Infinity/);
    expect(() => signFlipTests([[1]], { permutations: 1.5 })).toThrow(/permutations must be .* found 1.5/);
  });
});

describe('Wilson interval', () => {
  it.each([
    // scipy.stats.binomtest(k, n).proportion_ci(method='wilson')
    [0, 10, 0, 0.27753279986288926],
    [5, 10, 0.236593090512564, 0.7634069094874361],
    [10, 10, 0.7224672001371109, 1],
    [114, 120, 0.8951971146376327, 0.9768856355855342],
    [1, 1, 0.20654931437723745, 1],
    [431, 500, 0.8289979864047199, 0.8894819911011163],
  ])('%i of %i', (successes, n, low, high) => {
    const interval = wilsonInterval(successes, n);
    expect(interval.low).toBeCloseTo(low, 12);
    expect(interval.high).toBeCloseTo(high, 12);
  });

  it('refuses what is no proportion', () => {
    for (const [successes, n] of [
      [3, 2],
      [0, 0],
      [-1, 5],
      [0.5, 2],
    ] as const) {
      expect(() => wilsonInterval(successes, n)).toThrow(/is not a proportion/);
    }
  });
});
