import type { HeadEffects } from '../../analysis/effects.ts';
import { type Head, type HeadStatistic, headScore } from '../../analysis/universal-heads.ts';

/** All heads, the strongest first. */
export function rankedHeads(
  { values }: HeadEffects,
  statistic: HeadStatistic,
): (Head & { mean: number; meanAbsolute: number })[] {
  return values
    .flatMap((heads, layer) =>
      heads.map((effects, head) => ({
        layer,
        head,
        score: headScore(effects, statistic),
        mean: headScore(effects, 'signed'),
        meanAbsolute: headScore(effects, 'absolute'),
      })),
    )
    .sort((a, b) => b.score - a.score)
    .map(({ score: _, ...head }) => head);
}
