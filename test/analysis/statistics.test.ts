import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  mean,
  quantile,
  ranks,
  spearman,
  standardDeviation,
  standardError,
} from '../../src/analysis/statistics.ts';

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });

describe('mean and spread (values of NumPy 2 and SciPy 1.17)', () => {
  const values = [2, 4, 4, 4, 5, 5, 7, 9];

  it('of a known list', () => {
    expect(mean(values)).toBe(5);
    expect(standardDeviation(values, 0)).toBe(2);
    expect(standardDeviation(values, 1)).toBeCloseTo(2.138089935299395, 14);
    expect(standardError(Float32Array.from(values))).toBeCloseTo(0.7559289460184544, 14);
  });

  it('is NaN where it is not defined, and never skips a NaN', () => {
    expect(mean([])).toBeNaN();
    expect(standardDeviation([], 0)).toBeNaN();
    expect(standardDeviation([], 1)).toBeNaN();
    expect(standardDeviation([3], 0)).toBe(0);
    expect(standardDeviation([3], 1)).toBeNaN();
    expect(mean([1, Number.NaN, 3])).toBeNaN();
  });

  it('does not lose its digits to a large mean', () => {
    expect(standardDeviation([1e9 + 1, 1e9 + 2, 1e9 + 3], 1)).toBe(1);
  });

  it('quantiles interpolate as NumPy does', () => {
    const at = (q: number) => quantile([1, 2, 4, 8], q);
    expect([0, 0.1, 0.5, 0.9, 1].map(at)).toEqual([1, 1.3, 3, expect.closeTo(6.8, 12), 8]);
    expect(quantile([5], 0.3)).toBe(5);
  });
});

describe('rank correlation', () => {
  it('equals published and SciPy values', () => {
    // IQ and hours of television, the worked example of the Wikipedia article: −29/165.
    const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110];
    const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17];
    expect(spearman(iq, hours)).toBeCloseTo(-29 / 165, 14);
    expect(spearman([1, 2, 2, 3, 5, 5, 5, 8], [2, 1, 4, 4, 3, 9, 9, 7])).toBeCloseTo(0.6895607149652165, 14);
  });

  it('shares ranks between equal values', () => {
    expect([...ranks([10, 30, 20, 30, 5, 30])]).toEqual([2, 5, 3, 5, 1, 5]);
  });

  it('does not change under increasing maps, changes sign under decreasing ones, and stays in −1 … 1', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer())), (pairs) => {
        const a = pairs.map(([x]) => x);
        const b = pairs.map(([, y]) => y);
        const rho = spearman(a, b);
        if (rho === undefined) {
          expect(new Set(a).size < 2 || new Set(b).size < 2).toBe(true);
          return;
        }
        expect(Math.abs(rho)).toBeLessThanOrEqual(1 + 1e-12);
        expect(
          spearman(
            a.map((x) => x ** 3),
            b,
          ),
        ).toBe(rho);
        expect(
          spearman(
            a.map((x) => -x),
            b,
          ),
        ).toBeCloseTo(-rho, 12);
        expect(spearman(b, a)).toBeCloseTo(rho, 12);
      }),
    );
  });

  it('is undefined for constants and refuses NaN and unequal lengths', () => {
    expect(spearman([1, 1, 1], [1, 2, 3])).toBeUndefined();
    expect(spearman([1], [1])).toBeUndefined();
    expect(() => spearman([1, Number.NaN], [1, 2])).toThrow(/value 1 is not a number/);
    expect(() => spearman([1], [1, 2])).toThrow(/1 values on one side and 2/);
  });

  it('mean of ranks is (n + 1) / 2', () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1 }), (values) => {
        expect(mean(ranks(values))).toBeCloseTo((values.length + 1) / 2, 9);
      }),
    );
  });
});
