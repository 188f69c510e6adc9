// What heads look at, as numbers. The paper names three functions of cross-attention heads (section 4.3) and judges them
// by eye from overlays; here each is a score over samples with boxes, tested against the average head and against chance.
//
// a[p] is a head's attention at the chosen token to patch p, scaled so that it sums to 1 over the image's patches, and
// ā[p] its mean over all heads of all layers, the average head. b[p] is the share of patch p inside the object's box.
//
//   inside             Σ a·b; of the average head Σ ā·b; chance is the box's share of the image, Σ b / patches
//   object detection   mean of inside − max(average head's inside, chance): looks at the object more than either
//   object suppression mean of min(average head's inside, chance) − inside: looks at the object less than either
//   outlier patches    patches that the box does not touch where ā is at or above the mean + 2 sd of such patches:
//                      spots of background that draw the model's attention (Darcet et al. 2024)
//   outlier share      attention on outlier patches / attention on all patches that the box does not touch, so that a
//                      head does not seem to suppress outliers because it detects the object
//   outlier suppression mean of the average head's outlier share − the head's
//   entropy            −Σ a ln a / ln patches: 0 is one patch, 1 the whole image evenly

import { checkShape, NoticeError } from '../errors.ts';
import { type HeadMeasures, measureSample, type SampleMeasures } from './head-measures.ts';
import type { ImageAttention } from './image-attention.ts';
import {
  defined,
  type ResamplingOptions,
  type SampleValues,
  type Summary,
  signFlipTests,
  summarizeAll,
} from './inference.ts';
import { mean } from './statistics.ts';
import { type Head, headLabel } from './universal-heads.ts';

/** One sample. */
export interface BoxedAttention {
  readonly attention: ImageAttention;
  /** [patch]: the share of each patch inside the object's box, as from `boxCoverage`. */
  readonly coverage: Float32Array;
}

export const HEAD_FUNCTIONS = ['object detection', 'object suppression', 'outlier suppression'] as const;
export type HeadFunction = (typeof HEAD_FUNCTIONS)[number];

/** A score with what speaks for it. */
export interface FunctionScore extends Summary {
  /** Sign-flip permutation test of the samples' scores; then adjusted for the number of heads (max-T). */
  readonly p: number;
  readonly pAdjusted: number;
  /** The head's mean mass or share over that of the reference it is held against. */
  readonly ratio: number;
  /** Whether the head has the function: see {@link FUNCTION_RULES}. */
  readonly holds: boolean;
}

/** All means over samples. */
export interface HeadEvidence {
  readonly inside: number;
  readonly averageInside: number;
  readonly chance: number;
  /** inside / chance. */
  readonly lift: number;
  /** Undefined if no sample has outlier patches; so is outlier suppression then. */
  readonly outlierShare: number | undefined;
  readonly averageOutlierShare: number | undefined;
  readonly entropy: number;
  /** Attention on the image before scaling: small where the head looks at other things, and all above weighs less. */
  readonly imageMass: number;
}

export interface HeadFunctionScores extends Head {
  /** The first function that holds, in the order of `HEAD_FUNCTIONS`. */
  readonly class: HeadFunction | 'none';
  readonly scores: Readonly<Partial<Record<HeadFunction, FunctionScore>>>;
  readonly evidence: HeadEvidence;
}

export interface HeadFunctionReport {
  readonly heads: readonly HeadFunctionScores[];
  /** Samples that count; `withOutliers` of them have outlier patches. */
  readonly samples: number;
  readonly withOutliers: number;
  /** Samples left out because no part of the box is on the grid. */
  readonly withoutBox: number;
}

/**
 * A function holds if its score is positive with an adjusted p-value of at most `pAdjusted`, and large enough to be seen
 * in an overlay: `ratio` to max(average head, chance) at least 1.5 for detection, to min(…) at most 0.5 for suppression,
 * to the average head's outlier share at most 0.5 for outlier suppression. With many samples the smallest
 * difference is significant, hence the second condition.
 */
export const FUNCTION_RULES = { pAdjusted: 0.05, detectionRatio: 1.5, suppressionRatio: 0.5 } as const;

/**
 * @param samples of one model and token role; streamed, only a few numbers per head and sample are kept
 * @throws NoticeError('data') if no sample has a box on the grid, or a head gives the image no attention in any sample
 * @throws ShapeError for samples of different sizes
 */
export async function headFunctions(
  samples: Iterable<BoxedAttention> | AsyncIterable<BoxedAttention>,
  options: ResamplingOptions = {},
): Promise<HeadFunctionReport> {
  let size: Pick<ImageAttention, 'layers' | 'heads' | 'patches'> | undefined;
  const measured: SampleMeasures[] = [];
  let withoutBox = 0;

  for await (const { attention, coverage } of samples) {
    const { layers, heads, patches } = attention;
    size ??= { layers, heads, patches };
    checkShape(
      layers === size.layers &&
        heads === size.heads &&
        patches === size.patches &&
        coverage.length === patches,
      () =>
        `headFunctions: a sample has ${layers} × ${heads} × ${patches} (layer, head, patch) and a box on ${coverage.length} patches, ` +
        `the first one ${size?.layers} × ${size?.heads} × ${size?.patches}.`,
    );
    if (coverage.some((share) => share > 0)) measured.push(measureSample(attention, coverage));
    else withoutBox++;
  }
  if (!size || measured.length === 0) {
    throw new NoticeError(
      'data',
      `headFunctions: no sample has an object's box on the image (${withoutBox} were given).`,
    );
  }
  return {
    heads: judge(measured, size, options),
    samples: measured.length,
    withOutliers: measured.filter(({ hasOutliers }) => hasOutliers).length,
    withoutBox,
  };
}

/** A head's measure against its reference, in one sample; undefined where there is none. */
type Compared = (
  sample: SampleMeasures,
  head: HeadMeasures,
) => { readonly value: number; readonly reference: number } | undefined;

interface FunctionDefinition {
  readonly compared: Compared;
  /** What the score is positive for: more than the reference, or less. */
  readonly sign: 1 | -1;
  /** Whether a ratio of value to reference is large enough to be seen. */
  readonly large: (ratio: number) => boolean;
}

const DEFINITIONS: Readonly<Record<HeadFunction, FunctionDefinition>> = {
  'object detection': {
    compared: ({ averageInside, chance }, { inside }) => ({
      value: inside,
      reference: Math.max(averageInside, chance),
    }),
    sign: 1,
    large: (ratio) => ratio >= FUNCTION_RULES.detectionRatio,
  },
  'object suppression': {
    compared: ({ averageInside, chance }, { inside }) => ({
      value: inside,
      reference: Math.min(averageInside, chance),
    }),
    sign: -1,
    large: (ratio) => ratio <= FUNCTION_RULES.suppressionRatio,
  },
  'outlier suppression': {
    compared: ({ averageOutlierShare: reference }, { outlierShare: value }) =>
      value === undefined || reference === undefined ? undefined : { value, reference },
    sign: -1,
    large: (ratio) => ratio <= FUNCTION_RULES.suppressionRatio,
  },
};

/** Scores, tests and classes of all heads. */
function judge(
  samples: readonly SampleMeasures[],
  { layers, heads }: Pick<ImageAttention, 'layers' | 'heads'>,
  options: ResamplingOptions,
): HeadFunctionScores[] {
  const all = Array.from({ length: layers * heads }, (_, i) => ({
    layer: Math.floor(i / heads),
    head: i % heads,
  }));
  const scored = HEAD_FUNCTIONS.map((name) => scoreHeads(samples, all.length, DEFINITIONS[name], options));
  return all.map((head, i) => {
    const scores: Partial<Record<HeadFunction, FunctionScore>> = {};
    HEAD_FUNCTIONS.forEach((name, f) => {
      const score = scored[f]?.get(i);
      if (score) scores[name] = score;
    });
    return {
      ...head,
      class: HEAD_FUNCTIONS.find((name) => scores[name]?.holds) ?? 'none',
      scores,
      evidence: evidenceOf(samples, i, headLabel(head)),
    };
  });
}

/** By head; without those that have no value in any sample. */
function scoreHeads(
  samples: readonly SampleMeasures[],
  heads: number,
  { compared, sign, large }: FunctionDefinition,
  options: ResamplingOptions,
): Map<number, FunctionScore> {
  const tests: { i: number; values: SampleValues; ratio: number }[] = [];
  for (let i = 0; i < heads; i++) {
    const pairs = samples.map((sample) => {
      const head = sample.heads[i];
      return head && compared(sample, head);
    });
    const values = pairs.map((pair) => pair && sign * (pair.value - pair.reference));
    const present = pairs.filter((pair) => pair !== undefined);
    if (present.length === 0) continue;
    const ratio = mean(present.map(({ value }) => value)) / mean(present.map(({ reference }) => reference));
    tests.push({ i, values, ratio });
  }
  const rows = tests.map(({ values }) => values);
  const summaries = summarizeAll(rows, options);
  const significance = signFlipTests(rows, options);
  return new Map(
    tests.map(({ i, ratio }, t) => {
      const score = { ...summaries[t]!, ...significance[t]! };
      const holds = large(ratio) && score.mean > 0 && score.pAdjusted <= FUNCTION_RULES.pAdjusted;
      return [i, { ...score, ratio, holds }];
    }),
  );
}

/** @throws NoticeError('data') for a head that looks at no sample's image */
function evidenceOf(samples: readonly SampleMeasures[], i: number, label: string): HeadEvidence {
  const seen = samples.flatMap((sample) => {
    const head = sample.heads[i];
    return head ? [{ ...sample, ...head }] : [];
  });
  if (seen.length === 0) {
    throw new NoticeError(
      'data',
      `headFunctions: ${label} gives the image's patches no attention in any sample. Are they the right keys?`,
    );
  }
  const outliers = seen.filter(({ outlierShare }) => outlierShare !== undefined);
  const meanOf = (values: SampleValues) => (values.length > 0 ? mean(defined(values)) : undefined);
  return {
    inside: mean(seen.map(({ inside }) => inside)),
    averageInside: mean(seen.map(({ averageInside }) => averageInside)),
    chance: mean(seen.map(({ chance }) => chance)),
    lift: mean(seen.map(({ inside, chance }) => inside / chance)),
    outlierShare: meanOf(outliers.map(({ outlierShare }) => outlierShare)),
    averageOutlierShare: meanOf(outliers.map(({ averageOutlierShare }) => averageOutlierShare)),
    entropy: mean(seen.map(({ entropy }) => entropy)),
    imageMass: mean(seen.map(({ imageMass }) => imageMass)),
  };
}
