// How the effects of one way of corrupting inputs compare with another's (paper, Figures 4 and 10).

import { NoticeError } from '../errors.ts';
import type { Corruption } from './cell.ts';
import type { HeadEffects, ModuleEffects } from './effects.ts';
import { type ResamplingOptions, type SampleValues, type Summary, summarizeAll } from './inference.ts';
import { spearman } from './statistics.ts';
import { type HeadStatistic, headScore } from './universal-heads.ts';

/** Do two corruptions point at the same heads? */
export interface HeadCorrelation {
  readonly task: string;
  readonly site: string;
  readonly corruptions: readonly [Corruption, Corruption];
  /** Spearman's rank correlation of the heads' scores; undefined if all heads score the same under one of the two. */
  readonly rho: number | undefined;
  /** Heads compared. */
  readonly heads: number;
}

/**
 * Every two corruptions of the same task and site, in the order given.
 * @throws ShapeError for different numbers of heads
 */
export function headCorrelations(
  effects: readonly HeadEffects[],
  statistic: HeadStatistic = 'absolute',
): HeadCorrelation[] {
  const scored = effects.map((entry) => ({
    ...entry,
    scores: entry.values.flat().map((values) => headScore(values, statistic)),
  }));
  return scored.flatMap((a, i) =>
    scored
      .slice(i + 1)
      .filter((b) => b.task === a.task && b.site === a.site)
      .map((b) => ({
        task: a.task,
        site: a.site,
        corruptions: [a.corruption, b.corruption] as const,
        rho: spearman(a.scores, b.scores),
        heads: a.scores.length,
      })),
  );
}

/**
 * The effect of patching a role's tokens, layer by layer; undefined where no sample has one.
 * @throws NoticeError('data') for a role that no sample has
 */
export function layerProfile(
  effects: ModuleEffects,
  role: string,
  options: ResamplingOptions = {},
): (Summary | undefined)[] {
  const layers = effects.values[effects.roles.indexOf(role)];
  if (!layers) {
    const roles = effects.roles.join(', ');
    throw new NoticeError('data', `layerProfile: no token has the role "${role}"; there are ${roles}.`);
  }
  const known = layers.filter(hasValue);
  const summaries = summarizeAll(known, options);
  return layers.map((values) => summaries[known.indexOf(values)]);
}

function hasValue(values: SampleValues): boolean {
  return values.some((value) => value !== undefined);
}
