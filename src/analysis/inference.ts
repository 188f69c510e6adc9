// Intervals and p-values of many tests on the same samples: all heads, or all roles and layers. They assume little, since
// samples are few and effects far from normal. One set of random patterns serves all tests, for two reasons: it keeps
// what the tests share, on which the correction for their number rests, and it turns the resampling into products.

import { NoticeError } from '../errors.ts';
import { type Random, seeded } from '../random.ts';
import { mean, quantile, standardDeviation, standardError } from './statistics.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface ResamplingOptions {
  /** Seed of the resampling; the same values and seed give the same result. Default 0. */
  readonly seed?: number | string;
  /** Random sign patterns of the tests. Default 9999. */
  readonly permutations?: number;
  /** Bootstrap resamples of the intervals. Default 1999. */
  readonly resamples?: number;
}

/** What a figure or table says of one cell over samples. */
export interface Summary extends Interval {
  readonly n: number;
  readonly mean: number;
  /** Of the samples, ddof 1; NaN for one sample. */
  readonly sd: number;
  readonly standardError: number;
}

/** One test's values by sample, in the same order in all tests; undefined where a sample has none. */
export type SampleValues = readonly (number | undefined)[];

/** The values that are there. */
export function defined(values: SampleValues): number[] {
  return values.filter((value) => value !== undefined);
}

/**
 * Mean, spread and the 95 % percentile bootstrap interval of the mean (Efron and Tibshirani 1993, section 13.3), for
 * every test. Tests with as many values share one matrix of drawn samples.
 * @throws NoticeError('data') for a test without values, or with one that is not finite
 */
export function summarizeAll(
  tests: readonly SampleValues[],
  { seed = 0, resamples = 1999 }: ResamplingOptions = {},
): Summary[] {
  checkCount('resamples', resamples);
  const draws = new Map<number, Uint32Array>();
  const means = new Float64Array(resamples);
  return tests.map((test, t) => {
    const values = Float64Array.from(finite(test, t));
    const n = values.length;
    const drawn = draws.get(n) ?? drawSamples(seeded(`${seed}/bootstrap/${n}`), resamples, n);
    draws.set(n, drawn);
    for (let r = 0, at = 0; r < resamples; r++) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += values[drawn[at++]!]!;
      means[r] = sum / n;
    }
    means.sort();
    return {
      n,
      mean: mean(values),
      sd: standardDeviation(values, 1),
      standardError: standardError(values),
      low: quantile(means, 0.025),
      high: quantile(means, 0.975),
    };
  });
}

/** [resample, n]: which values are drawn. */
function drawSamples(random: Random, resamples: number, n: number): Uint32Array {
  return Uint32Array.from({ length: resamples * n }, () => random.integer(n));
}

export interface SignFlipTest {
  /** Two-sided, of this test alone. */
  readonly p: number;
  /** Adjusted for the number of tests: the chance that any of them is wrongly at or below α is at most α. */
  readonly pAdjusted: number;
}

/**
 * Sign-flip permutation tests of paired differences against distributions symmetric about 0, with the step-down max-T
 * correction (Westfall and Young 1993, algorithm 4.1; Romano and Wolf 2005).
 *
 * A pattern s gives every sample i one sign, the same in all tests j. The statistic is z_j(s) = |Σ s_i x_ij| / √Σ x_ij²:
 * its variance under random signs is 1 whatever the test's scale, and of tests with as many values it orders as
 * Student's t does, since Σ (s_i x_ij)² is the same for all s. With the tests sorted such that z_1 ≥ z_2 ≥ …,
 *
 *   p_j         = share of patterns with z_j(s) ≥ z_j
 *   pAdjusted_j = max over k ≤ j of the share of patterns with max(z_k(s), z_{k+1}(s), …) ≥ z_k
 *
 * All 2^n patterns are taken if there are no more than `permutations` + 1, else random ones with the observed pattern
 * among them: shares are (hits + 1) / (permutations + 1), never 0 (Phipson and Smyth 2010).
 * @throws NoticeError('data') for a test without values, or with one that is not finite
 * @throws NoticeError('usage') for tests of different numbers of samples
 */
export function signFlipTests(
  tests: readonly SampleValues[],
  { seed = 0, permutations = 9999 }: ResamplingOptions = {},
): SignFlipTest[] {
  checkCount('permutations', permutations);
  const samples = tests[0]?.length ?? 0;
  const rows = tests.map((test, t) => {
    if (test.length !== samples)
      throw new NoticeError('usage', `signFlipTests: test ${t} has ${test.length} samples, not ${samples}.`);
    return standardized(test, finite(test, t));
  });
  const all = 2 ** samples <= permutations + 1;
  const signs = all ? everyPattern(samples) : randomPatterns(seeded(`${seed}/signs`), permutations, samples);
  const patterns = all ? 2 ** samples : permutations;
  const share = (hits: number) => (all ? hits / patterns : (hits + 1) / (patterns + 1));

  const observed = rows.map((row) => Math.abs(row.reduce((a, b) => a + b, 0)));
  // Patterns that tie with the observed one must count, in whatever order their terms were added.
  const tolerance = 1e-12 * Math.sqrt(samples);
  const order = rows.map((_, j) => j).sort((a, b) => observed[a]! - observed[b]!);
  const sums = new Float64Array(patterns);
  const maxima = new Float64Array(patterns);
  const found = new Array<{ p: number; pAdjusted: number }>(rows.length);
  for (const j of order) {
    signedSums(rows[j]!, signs, sums);
    const limit = observed[j]! - tolerance;
    let hits = 0;
    let maximumHits = 0;
    for (let r = 0; r < patterns; r++) {
      const size = Math.abs(sums[r]!);
      if (size > maxima[r]!) maxima[r] = size;
      if (size >= limit) hits++;
      if (maxima[r]! >= limit) maximumHits++;
    }
    found[j] = { p: share(hits), pAdjusted: share(maximumHits) };
  }
  let largest = 0;
  for (const j of order.reverse()) {
    largest = Math.max(largest, found[j]!.pAdjusted);
    found[j]!.pAdjusted = largest;
  }
  return found;
}

/** x / √Σ x², 0 where there is no value: such a sample changes no sum. All 0 stays so. */
function standardized(test: SampleValues, values: readonly number[]): Float64Array {
  const largest = Math.max(...values.map(Math.abs)) || 1;
  const norm = Math.sqrt(values.reduce((sum, x) => sum + (x / largest) ** 2, 0)) || 1;
  return Float64Array.from(test, (x) => (x === undefined ? 0 : x / largest / norm));
}

/** [pattern, ⌈samples / 8⌉] bytes: bit i % 8 of byte ⌊i / 8⌋ is sample i's sign, set for +. */
function everyPattern(samples: number): Uint8Array {
  const bytes = Math.ceil(samples / 8);
  return Uint8Array.from(
    { length: 2 ** samples * bytes },
    (_, at) => Math.floor(at / bytes) >> (8 * (at % bytes)),
  );
}

function randomPatterns(random: Random, patterns: number, samples: number): Uint8Array {
  const length = patterns * Math.ceil(samples / 8);
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => random.uint32());
  return Uint8Array.from({ length }, (_, at) => words[at >> 2]! >>> (8 * (at & 3)));
}

/**
 * Σ s_i x_i for every pattern: the product of a sign matrix with a vector. Eight samples have only 256 signed sums, so
 * those are made once, and each pattern adds one for every byte.
 */
function signedSums(values: Float64Array, signs: Uint8Array, out: Float64Array): void {
  const groups = Math.ceil(values.length / 8);
  const partial = new Float64Array(256 * groups);
  for (let g = 0; g < groups; g++) {
    const base = 256 * g;
    const own = values.subarray(8 * g, 8 * g + 8);
    partial[base] = -own.reduce((a, b) => a + b, 0);
    for (let bits = 1; bits < 256; bits++) {
      const rest = bits & (bits - 1);
      const lowest = 31 - Math.clz32(bits ^ rest);
      partial[base + bits] = partial[base + rest]! + 2 * (own[lowest] ?? 0);
    }
  }
  for (let r = 0, at = 0; r < out.length; r++) {
    let sum = 0;
    for (let g = 0; g < groups; g++) sum += partial[256 * g + signs[at++]!]!;
    out[r] = sum;
  }
}

function finite(test: SampleValues, t: number): number[] {
  const values = defined(test);
  if (values.length === 0) throw new NoticeError('data', `test ${t} has no values.`);
  const odd = values.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0)
    throw new NoticeError(
      'data',
      `value ${odd} of test ${t} is ${values[odd]}. Leave undefined effects out first.`,
    );
  return values;
}

function checkCount(name: string, count: number): void {
  if (!(Number.isInteger(count) && count >= 1))
    throw new NoticeError('usage', `${name} must be a positive integer, found ${count}.`);
}

/** 97.5 % quantile of the standard normal distribution. */
const Z95 = 1.959963984540054;

/**
 * 95 % score interval of a proportion (Wilson 1927, without continuity correction).
 * @param successes 0 … `n`
 * @param n at least 1
 * @throws NoticeError('data') for other counts
 */
export function wilsonInterval(successes: number, n: number): Interval {
  if (!(Number.isInteger(successes) && Number.isInteger(n) && successes >= 0 && n >= 1 && successes <= n)) {
    throw new NoticeError('data', `wilsonInterval: ${successes} of ${n} is not a proportion.`);
  }
  const p = successes / n;
  const z2 = Z95 ** 2;
  const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 / (1 + z2 / n)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n ** 2));
  // Rounding could put a limit that is exactly 0 or 1 just beside it.
  return {
    low: successes === 0 ? 0 : centre - half,
    high: successes === n ? 1 : centre + half,
  };
}
