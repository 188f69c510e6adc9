import type { HeadEffects } from '../../analysis/effects.ts';
import { type Head, type HeadStatistic, headScore } from '../../analysis/universal-heads.ts';

/** All heads, the strongest first; `score` is what they are ranked by. */
export function rankedHeads(
  { values }: HeadEffects,
  statistic: HeadStatistic,
): (Head & { score: number; mean: number; meanAbsolute: number })[] {
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
    .sort((a, b) => b.score - a.score);
}
