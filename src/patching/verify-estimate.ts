// How far an estimate is off: some of its cells measured.

import { spearman } from '../analysis/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { Cell, SweepJob } from './cells.ts';
import { METRIC_NUMBERS, METRICS, measure } from './measure.ts';

const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

export interface VerifiedCell extends Pick<Cell, 'site' | 'index' | 'layer' | 'head' | 'positions'> {
  readonly estimate: number;
  /** As a sweep measures it. */
  readonly effect: number;
}

export interface Verification {
  /** Those of the largest estimates first, then the others. */
  readonly cells: readonly VerifiedCell[];
  /** Spearman's, of estimates and effects of these cells; undefined where one of both is the same for all. */
  readonly rankCorrelation: number | undefined;
  /** Which share of the cells with the largest effects is among those with the largest estimates. */
  readonly recall: number;
  /** The largest |estimate − effect|. */
  readonly largestError: number;
}

/**
 * Measures the k cells of a job with the largest estimates and k others, spread over all by the golden ratio.
 *
 * @param hasMetric whether the job has a metric of its own
 */
export async function verifyEstimate(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  estimates: ReadonlyMap<Cell, number>,
  k: number,
  hasMetric: boolean,
  signal: AbortSignal | undefined,
): Promise<Verification> {
  const bySize = [...estimates].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).map(([cell]) => cell);
  const top = bySize.slice(0, k);
  const rest = bySize.slice(k);
  const others = new Set<Cell>();
  for (let i = 1; others.size < Math.min(k, rest.length); i++)
    others.add(rest[Math.floor(((i * GOLDEN_RATIO) % 1) * rest.length)] as Cell);
  const chosen = [...top, ...others];
  const { numbers } = await measure(model, jobs, chosen, {
    mode: 'wavefront',
    controls: false,
    repeat: 0,
    signal,
  });
  const at = hasMetric ? METRIC_NUMBERS.indexOf('effect') : METRICS.indexOf('ld_effect');
  const cells = chosen.map((cell): VerifiedCell => {
    const { site, index, layer, head, positions } = cell;
    const effect = numbers.get(cell)?.[at] as number;
    return { site, index, layer, head, positions, estimate: estimates.get(cell) as number, effect };
  });
  const largest = cells
    .map((cell, i) => ({ i, size: Math.abs(cell.effect) }))
    .sort((a, b) => b.size - a.size || a.i - b.i)
    .slice(0, top.length);
  return {
    cells,
    rankCorrelation: spearman(
      cells.map(({ estimate }) => estimate),
      cells.map(({ effect }) => effect),
    ),
    recall: largest.filter(({ i }) => i < top.length).length / top.length,
    largestError: Math.max(...cells.map(({ estimate, effect }) => Math.abs(estimate - effect))),
  };
}
