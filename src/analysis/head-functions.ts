// What heads look at, as numbers. The paper names three functions of cross-attention heads (section 5.3) and judges them
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
import { HeadTally, tallySample } from './head-measures.ts';
import type { ImageAttention } from './image-attention.ts';
import {
  benjaminiHochberg,
  type ResamplingOptions,
  type Summary,
  signFlipPValue,
  summarize,
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
  /** Sign-flip permutation test of the samples' scores; then adjusted for the number of heads (Benjamini–Hochberg). */
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
  let tallies: HeadTally[] = [];
  let size: Pick<ImageAttention, 'layers' | 'heads' | 'patches'> | undefined;
  const counts = { samples: 0, withOutliers: 0, withoutBox: 0 };

  for await (const { attention, coverage } of samples) {
    const { layers, heads, patches } = attention;
    if (!size) {
      size = { layers, heads, patches };
      tallies = Array.from({ length: layers * heads }, () => new HeadTally());
    }
    checkShape(
      layers === size.layers &&
        heads === size.heads &&
        patches === size.patches &&
        coverage.length === patches,
      () =>
        `headFunctions: a sample has ${layers} × ${heads} × ${patches} (layer, head, patch) and a box on ${coverage.length} patches, ` +
        `the first one ${size?.layers} × ${size?.heads} × ${size?.patches}.`,
    );
    if (!coverage.some((share) => share > 0)) {
      counts.withoutBox++;
      continue;
    }
    counts.samples++;
    if (tallySample(tallies, attention, coverage)) counts.withOutliers++;
  }
  if (!size || counts.samples === 0) {
    throw new NoticeError(
      'data',
      `headFunctions: no sample has an object's box on the image (${counts.withoutBox} were given).`,
    );
  }
  const { heads } = size;
  const blind = tallies.findIndex(({ inside }) => inside.length === 0);
  if (blind >= 0) {
    const name = headLabel({ layer: Math.floor(blind / heads), head: blind % heads });
    throw new NoticeError(
      'data',
      `headFunctions: ${name} gives the image's patches no attention in any sample. Are they the right keys?`,
    );
  }
  return { heads: judge(tallies, heads, options), ...counts };
}

/** Scores, tests and classes of all heads. */
function judge(
  tallies: readonly HeadTally[],
  headsPerLayer: number,
  options: ResamplingOptions,
): HeadFunctionScores[] {
  const { detectionRatio, suppressionRatio } = FUNCTION_RULES;
  const pairwise = (pick: (a: number, b: number) => number, a: readonly number[], b: readonly number[]) =>
    a.map((value, i) => pick(value, b[i]!));
  const difference = (a: readonly number[], b: readonly number[]) => pairwise((x, y) => x - y, a, b);

  const scored = {
    'object detection': scoreHeads(
      tallies.map(({ inside, averageInside, chance }) => {
        const reference = pairwise(Math.max, averageInside, chance);
        const ratio = mean(inside) / mean(reference);
        return { values: difference(inside, reference), ratio, large: ratio >= detectionRatio };
      }),
      options,
    ),
    'object suppression': scoreHeads(
      tallies.map(({ inside, averageInside, chance }) => {
        const reference = pairwise(Math.min, averageInside, chance);
        const ratio = mean(inside) / mean(reference);
        return { values: difference(reference, inside), ratio, large: ratio <= suppressionRatio };
      }),
      options,
    ),
    'outlier suppression': scoreHeads(
      tallies.map(({ outlierShare: share, averageOutlierShare: reference }) => {
        const ratio = mean(share) / mean(reference);
        return { values: difference(reference, share), ratio, large: ratio <= suppressionRatio };
      }),
      options,
    ),
  } satisfies Record<HeadFunction, (FunctionScore | undefined)[]>;

  return tallies.map((tally, i) => {
    const scores = Object.fromEntries(
      HEAD_FUNCTIONS.flatMap((name) => {
        const score = scored[name][i];
        return score ? [[name, score]] : [];
      }),
    ) as Partial<Record<HeadFunction, FunctionScore>>;
    return {
      layer: Math.floor(i / headsPerLayer),
      head: i % headsPerLayer,
      class: HEAD_FUNCTIONS.find((name) => scores[name]?.holds) ?? 'none',
      scores,
      evidence: evidenceOf(tally),
    };
  });
}

/** Undefined for a head without a value. */
function scoreHeads(
  heads: readonly { values: readonly number[]; ratio: number; large: boolean }[],
  options: ResamplingOptions,
): (FunctionScore | undefined)[] {
  const tested = heads.filter(({ values }) => values.length > 0);
  const p = tested.map(({ values }) => signFlipPValue(values, options));
  const adjusted = benjaminiHochberg(p);
  let next = 0;
  return heads.map(({ values, ratio, large }) => {
    if (values.length === 0) return undefined;
    const summary = summarize(values, options);
    const i = next++;
    const pAdjusted = adjusted[i]!;
    const holds = large && summary.mean > 0 && pAdjusted <= FUNCTION_RULES.pAdjusted;
    return { ...summary, p: p[i]!, pAdjusted, ratio, holds };
  });
}

function evidenceOf(tally: HeadTally): HeadEvidence {
  const hasOutliers = tally.outlierShare.length > 0;
  return {
    inside: mean(tally.inside),
    averageInside: mean(tally.averageInside),
    chance: mean(tally.chance),
    lift: mean(tally.inside.map((inside, i) => inside / tally.chance[i]!)),
    outlierShare: hasOutliers ? mean(tally.outlierShare) : undefined,
    averageOutlierShare: hasOutliers ? mean(tally.averageOutlierShare) : undefined,
    entropy: mean(tally.entropy),
    imageMass: mean(tally.imageMass),
  };
}
