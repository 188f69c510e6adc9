import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  benjaminiHochberg,
  bootstrapInterval,
  signFlipPValue,
  summarize,
  wilsonInterval,
} from '../../src/analysis/inference.ts';
import { seeded } from '../../src/random.ts';

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
    expect(() => bootstrapInterval([])).toThrow(/there are no values/);
    expect(() => bootstrapInterval([1, Number.NaN])).toThrow(/value 1 is NaN/);
    expect(() => bootstrapInterval([1], { resamples: 0 })).toThrow(/positive integer, found 0/);
  });
});

describe('sign-flip test', () => {
  it('is exact for few samples', () => {
    // scipy.stats.permutation_test(permutation_type='samples') on |mean|: 26 of 256.
    expect(signFlipPValue([1.2, -0.3, 0.8, 2.1, 0.05, -0.7, 1.9, 0.4])).toBe(26 / 256);
    expect(signFlipPValue([1, 2, 3, 4, 5])).toBe(2 / 32);
    expect(signFlipPValue([0, 0, 0])).toBe(1);
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
        { seed: run, resamples: 199 },
      ),
    );
    const share = p.filter((value) => value <= 0.2).length / p.length;
    expect(Math.abs(share - 0.2)).toBeLessThan(4 * Math.sqrt((0.2 * 0.8) / p.length));
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

describe('Benjamini–Hochberg', () => {
  it('equals scipy.stats.false_discovery_control', () => {
    const adjusted = benjaminiHochberg([0.01, 0.04, 0.03, 0.005, 0.55, 0.04]);
    [0.03, 0.048, 0.048, 0.03, 0.55, 0.048].forEach((p, i) => {
      expect(adjusted[i]).toBeCloseTo(p, 14);
    });
  });

  it('never lowers a value, keeps the order, and leaves a single one alone', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (p) => {
        const adjusted = benjaminiHochberg(p);
        const order = p.map((_, i) => i).sort((a, b) => p[a]! - p[b]!);
        order.forEach((index, place) => {
          expect(adjusted[index]).toBeGreaterThanOrEqual(p[index]! * (1 - 1e-12));
          expect(adjusted[index]).toBeLessThanOrEqual(1);
          if (place > 0) expect(adjusted[index]).toBeGreaterThanOrEqual(adjusted[order[place - 1]!]!);
        });
      }),
    );
    expect(benjaminiHochberg([0.2])).toEqual([0.2]);
    expect(() => benjaminiHochberg([0.2, Number.NaN])).toThrow(/p-value 1 is NaN/);
  });
});
