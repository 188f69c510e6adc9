// Intervals and p-values that assume little: the samples of a run are few and their effects far from normal.

import { NoticeError } from '../errors.ts';
import { type Random, seeded } from '../random.ts';
import { mean, type Numbers, quantile, standardDeviation, standardError } from './statistics.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface ResamplingOptions {
  /** Seed of the resampling; the same values and seed give the same result. Default 0. */
  readonly seed?: number | string;
  /** Number of random resamples. Default 9999. */
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

/** Mean, spread and the 95 % bootstrap interval of the mean. */
export function summarize(values: Numbers, options: ResamplingOptions = {}): Summary {
  return {
    n: values.length,
    mean: mean(values),
    sd: standardDeviation(values, 1),
    standardError: standardError(values),
    ...bootstrapInterval(values, options),
  };
}

/**
 * 95 % percentile bootstrap interval of the mean (Efron and Tibshirani 1993, section 13.3).
 * @throws NoticeError('data') for no values, or one that is not finite
 */
export function bootstrapInterval(values: Numbers, options: ResamplingOptions = {}): Interval {
  const { random, resamples } = resampling('bootstrapInterval', values, options);
  const n = values.length;
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += values[random.integer(n)]!;
    means[r] = sum / n;
  }
  means.sort();
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/**
 * Two-sided sign-flip permutation test of paired differences against a distribution symmetric about 0; the statistic is
 * the absolute mean. All 2^n sign patterns are taken if there are no more than `resamples` + 1 of them, else random
 * ones with the observed pattern among them: p = (hits + 1) / (resamples + 1), never 0 (Phipson and Smyth 2010).
 * @throws NoticeError('data') for no values, or one that is not finite
 */
export function signFlipPValue(differences: Numbers, options: ResamplingOptions = {}): number {
  const { random, resamples } = resampling('signFlipPValue', differences, options);
  const n = differences.length;
  let observed = 0;
  let magnitude = 0;
  for (let i = 0; i < n; i++) {
    observed += differences[i]!;
    magnitude += Math.abs(differences[i]!);
  }
  // Patterns that tie with the observed one must count, in whatever order their terms were added.
  const limit = Math.abs(observed) - 1e-12 * magnitude;
  let hits = 0;

  if (2 ** n <= resamples + 1) {
    for (let pattern = 0; pattern < 2 ** n; pattern++) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += (pattern >> i) & 1 ? -differences[i]! : differences[i]!;
      if (Math.abs(sum) >= limit) hits++;
    }
    return hits / 2 ** n;
  }

  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    let bits = 0;
    for (let i = 0; i < n; i++) {
      if (i % 32 === 0) bits = random.uint32();
      sum += bits & 1 ? -differences[i]! : differences[i]!;
      bits >>>= 1;
    }
    if (Math.abs(sum) >= limit) hits++;
  }
  return (hits + 1) / (resamples + 1);
}

function resampling(
  name: string,
  values: Numbers,
  { seed = 0, resamples = 9999 }: ResamplingOptions,
): { random: Random; resamples: number } {
  if (values.length === 0) throw new NoticeError('data', `${name}: there are no values.`);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new NoticeError(
        'data',
        `${name}: value ${i} is ${values[i]}. Leave undefined effects out first.`,
      );
    }
  }
  if (!(Number.isInteger(resamples) && resamples >= 1)) {
    throw new NoticeError('usage', `${name}: resamples must be a positive integer, found ${resamples}.`);
  }
  return { random: seeded(seed), resamples };
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

/**
 * P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995, step-up), in the order given:
 * calling all results with an adjusted value ≤ q discoveries keeps the expected share of false ones ≤ q.
 * @throws NoticeError('data') for a value outside 0 … 1
 */
export function benjaminiHochberg(pValues: readonly number[]): number[] {
  const m = pValues.length;
  const descending = pValues.map((_, i) => i).sort((a, b) => pValues[b]! - pValues[a]!);
  const adjusted = new Array<number>(m);
  let smallest = 1;
  descending.forEach((index, i) => {
    const p = pValues[index]!;
    if (!(p >= 0 && p <= 1)) throw new NoticeError('data', `benjaminiHochberg: p-value ${index} is ${p}.`);
    smallest = Math.min(smallest, (p * m) / (m - i));
    adjusted[index] = smallest;
  });
  return adjusted;
}
