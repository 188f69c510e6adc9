// Plain descriptive statistics. A value that is not a number is never skipped: the result is then NaN as well.

import { checkShape, NoticeError } from '../errors.ts';

/** Any list of numbers, typed arrays too. */
export type Numbers = ArrayLike<number>;

/** Arithmetic mean; NaN for no values. */
export function mean(values: Numbers): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/**
 * Standard deviation in two passes.
 * @param ddof what is taken off the count in the denominator: 0 describes these values (NumPy's default, and what
 *   NOTICE does over heads), 1 estimates the spread of what they were drawn from. NaN for `ddof` values or fewer
 */
export function standardDeviation(values: Numbers, ddof: 0 | 1): number {
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return Math.sqrt(squares / Math.max(values.length - ddof, 0));
}

/** Standard error of the mean, sd (ddof 1) / √n; NaN for fewer than two values. */
export function standardError(values: Numbers): number {
  return standardDeviation(values, 1) / Math.sqrt(values.length);
}

/**
 * Quantile with linear interpolation between order statistics (Hyndman and Fan's type 7, NumPy's default).
 * @param sorted ascending, at least one value
 * @param q 0 … 1
 */
export function quantile(sorted: Numbers, q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (place - below) * (high - low);
}

/**
 * Ranks from 1, smallest first; equal values share the mean of their ranks.
 * @throws NoticeError('data') for NaN, which has no rank
 */
export function ranks(values: Numbers): Float64Array {
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) throw new NoticeError('data', `ranks: value ${i} is not a number.`);
  }
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const result = new Float64Array(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    const value = values[order[start]!];
    while (end < order.length && values[order[end]!] === value) end++;
    for (let i = start; i < end; i++) result[order[i]!] = (start + 1 + end) / 2;
  }
  return result;
}

/**
 * Spearman's rank correlation: Pearson's correlation of the ranks, ties included.
 * @returns undefined where it is not defined: fewer than two pairs, or all values of one side equal
 * @throws ShapeError for lists of different lengths
 * @throws NoticeError('data') for NaN
 */
export function spearman(a: Numbers, b: Numbers): number | undefined {
  checkShape(
    a.length === b.length,
    () => `spearman: ${a.length} values on one side and ${b.length} on the other.`,
  );
  const x = ranks(a);
  const y = ranks(b);
  const centre = (a.length + 1) / 2;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    const dx = x[i]! - centre;
    const dy = y[i]! - centre;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}
