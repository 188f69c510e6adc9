import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fnv1a64, fromState, seeded, splitMix64 } from '../src/random.ts';

// Expected numbers come from the authors' reference programs in C (prng.di.unimi.it, isthe.com).
describe('the generators', () => {
  it('xoshiro128** from the state 1, 2, 3, 4', () => {
    const { uint32 } = fromState([1, 2, 3, 4]);
    expect(Array.from({ length: 10 }, uint32)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it('SplitMix64 from 1234567', () => {
    expect(Array.from({ length: 5 }, splitMix64(1234567n))).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
  });

  it('64-bit FNV-1a', () => {
    expect(fnv1a64('')).toBe(0xcbf29ce484222325n);
    expect(fnv1a64('a')).toBe(0xaf63dc4c8601ec8cn);
    expect(fnv1a64('foobar')).toBe(0x85944171f73967e8n);
  });

  it('a seeded stream is FNV-1a → SplitMix64 → xoshiro128**', () => {
    const { uint32 } = seeded('notice/42');
    expect(Array.from({ length: 4 }, uint32)).toEqual([1098480235, 1398215875, 2273817978, 3143705398]);
    let sum = 0;
    for (let i = 0; i < 1_000_000; i++) sum += uint32();
    expect(sum).toBe(2147892389287048);
    expect(seeded(7).next()).toBe(seeded('7').next());
  });
});

describe('what is drawn', () => {
  it('integers are uniform, also where 2^32 is no multiple', () => {
    // Modulo bias would give the lower third of 3 · 2^30 numbers half of all draws instead of a third.
    const random = seeded('bias');
    let low = 0;
    for (let i = 0; i < 30_000; i++) if (random.integer(3 * 2 ** 30) < 2 ** 30) low++;
    expect(Math.abs(low / 30_000 - 1 / 3)).toBeLessThan(4 * Math.sqrt(2 / 9 / 30_000)); // four standard errors
  });

  it('normal numbers have the moments of the normal distribution', () => {
    const random = seeded('normal');
    const n = 200_000;
    const moments = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const x = random.normal();
      for (let k = 0; k < 4; k++) moments[k]! += x ** (k + 1) / n;
    }
    // Variances of x, x², x³, x⁴ are 1, 2, 15, 96; four standard errors.
    [0, 1, 0, 3].forEach((expected, k) => {
      expect(Math.abs(moments[k]! - expected)).toBeLessThan(4 * Math.sqrt([1, 2, 15, 96][k]! / n));
    });
  });

  it('every order of three items comes up equally often', () => {
    const random = seeded('orders');
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = random.shuffle(['a', 'b', 'c']).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    const chi2 = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chi2).toBeLessThan(20.5); // 99.9 % quantile with 5 degrees of freedom
  });

  it('shuffles and samples keep the items and the argument', () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.integer()), fc.nat(), (seed, items, extra) => {
        const before = [...items];
        expect(seeded(seed).shuffle(items).sort()).toEqual([...items].sort());
        const indices = items.map((_, i) => i);
        const count = items.length === 0 ? 0 : extra % (items.length + 1);
        const sample = seeded(seed).sample(indices, count);
        expect(sample).toHaveLength(count);
        expect(new Set(sample).size).toBe(count);
        expect(seeded(seed).sample(indices, count)).toEqual(sample);
        expect(items).toEqual(before);
      }),
    );
  });

  it('refuses what cannot be drawn', () => {
    expect(() => seeded(Number.NaN)).toThrow(/seed is NaN, expected a finite number/);
    expect(() => seeded(1).integer(1.5)).toThrow(/count is 1.5, expected a whole number/);
    expect(() => seeded(1).sample([1, 2], 3)).toThrow(
      /without replacement is 3, expected a whole number from 0 to 2/,
    );
    for (const count of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN]) {
      expect(() => seeded(1).integer(count)).toThrow(/expected a whole number from 1 to 4294967296/);
    }
  });
});
