// What one sample says of where each head looks; head-functions.ts says what the measures mean and draws conclusions.

import { averageHead, type ImageAttention } from './image-attention.ts';
import { mean, standardDeviation } from './statistics.ts';

/** The measures of one sample. */
export interface SampleMeasures {
  /** By head, [layer · head]; undefined for a head that does not look at the image at all. */
  readonly heads: readonly (HeadMeasures | undefined)[];
  /** Share of the average head's attention on the image that lies inside the box, and the box's share of the image. */
  readonly averageInside: number;
  readonly chance: number;
  /** Undefined without outlier patches. */
  readonly averageOutlierShare: number | undefined;
  readonly hasOutliers: boolean;
}

export interface HeadMeasures {
  /** Share of the attention on the image that lies inside the box. */
  readonly inside: number;
  /** Undefined without outlier patches. */
  readonly outlierShare: number | undefined;
  readonly entropy: number;
  /** Attention on the image before scaling. */
  readonly imageMass: number;
}

export function measureSample(attention: ImageAttention, coverage: Float32Array): SampleMeasures {
  const { layers, heads, patches, data } = attention;
  const head = (of: Float32Array, i: number) => of.subarray(i * patches, (i + 1) * patches);
  const masses = Array.from({ length: layers * heads }, (_, i) => sum(head(data, i)));
  // A head that does not look at the image at all stays 0.
  const scaled = data.map((value, i) => value / (masses[Math.floor(i / patches)] || 1));
  const average = toUnitSum(averageHead({ ...attention, data: scaled }));
  const outliers = outlierPatches(average, coverage);
  const averageOutlierShare = outlierShare(average, coverage, outliers);
  return {
    averageInside: dot(average, coverage),
    chance: mean(coverage),
    averageOutlierShare,
    hasOutliers: outliers.length > 0,
    heads: masses.map((imageMass, i) => {
      if (imageMass === 0) return undefined;
      const a = head(scaled, i);
      return {
        inside: dot(a, coverage),
        outlierShare: averageOutlierShare === undefined ? undefined : outlierShare(a, coverage, outliers),
        ...measureHead(head(data, i)),
      };
    }),
  };
}

/**
 * How much a head attends to the image, and how widely.
 *
 * @param values its attention to the patches
 */
export function measureHead(values: Float32Array): Pick<HeadMeasures, 'imageMass' | 'entropy'> {
  const imageMass = sum(values);
  return { imageMass, entropy: imageMass === 0 ? 0 : entropy(values.map((value) => value / imageMass)) };
}

/** Share of a head's attention on the image that lies inside a box; 0 for a head that does not look at the image. */
export function shareInside(values: Float32Array, coverage: Float32Array): number {
  const imageMass = sum(values);
  return imageMass === 0 ? 0 : dot(values, coverage) / imageMass;
}

/**
 * Patches that the box does not touch where the average head's attention is at or above the mean + 2 sd (ddof 0) of
 * such patches; none if they are all equal.
 */
export function outlierPatches(average: ArrayLike<number>, coverage: Float32Array): number[] {
  const outside = [...coverage.keys()].filter((p) => coverage[p] === 0);
  const values = outside.map((p) => average[p]!);
  const threshold = mean(values) + 2 * standardDeviation(values, 0);
  const lowest = Math.min(...values);
  return outside.filter((p) => average[p]! >= threshold && average[p]! > lowest);
}

/**
 * Share of the attention on patches that the box does not touch that falls on outlier patches. Undefined if there are no
 * outlier patches, or no such attention.
 */
function outlierShare(
  a: ArrayLike<number>,
  coverage: Float32Array,
  outliers: readonly number[],
): number | undefined {
  let outside = 0;
  for (let p = 0; p < a.length; p++) if (coverage[p] === 0) outside += a[p]!;
  if (outliers.length === 0 || outside === 0) return undefined;
  return outliers.reduce((total, p) => total + a[p]!, 0) / outside;
}

/** −Σ a ln a / ln patches; 0 of a single patch. */
function entropy(a: Float32Array): number {
  let total = 0;
  for (const share of a) if (share > 0) total -= share * Math.log(share);
  return a.length > 1 ? total / Math.log(a.length) : 0;
}

function toUnitSum(values: Float64Array): Float64Array {
  const total = sum(values) || 1;
  return values.map((value) => value / total);
}

function sum(values: Float32Array | Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}
