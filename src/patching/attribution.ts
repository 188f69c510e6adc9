// Attribution patching (Nanda 2023; Kramár et al. 2024): every cell of a sweep at once, estimated from one gradient. To first order a
// patch changes the metric by (clean − corrupt) · ∂metric/∂activation, taken in the corrupt run.

import { checkFlag, checkSignal, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import { AttributionRuns, type Estimates, keyOf } from './attribution-runs.ts';
import { type Cell, measuredJobs, type SweepJob, type SweepJobInput } from './cells.ts';
import { METRIC_NUMBERS } from './measure.ts';
import { logitDifference, type Metric, metricOf } from './metric.ts';
import { prepareJob, type SiteResult, type SweepResult } from './sweep.ts';
import { type Verification, verifyEstimate } from './verify-estimate.ts';
import type { Baseline } from './walk-cells.ts';

export interface EstimateOptions {
  /** What is estimated, of jobs that do not say it; default the logit difference. */
  readonly metric?: Metric | undefined;
  /**
   * The gradient is averaged over so many midpoints of the straight line from the corrupt to the clean value of a hook point
   * alone, everything after it computed again: as many passes forward and back for each block of each site. Default: the gradient
   * of the corrupt run.
   */
  readonly integrated?: number;
  /** Whether estimates are given by feature, too: neurons, or features of the residual stream. Default false. */
  readonly features?: boolean;
  /** How many of the cells with the largest estimates, and as many others, are measured; default 0. */
  readonly verify?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface EstimatedSite extends SiteResult {
  /** [layer, position, feature] with all positions of the tower, if asked for. */
  readonly features: { readonly shape: readonly number[]; readonly data: Float32Array } | undefined;
}

/** As a sweep's result of a job with a metric: the numbers are {@link METRIC_NUMBERS}, m* plus the estimate and the estimate. */
export interface EstimateResult extends SweepResult {
  /** Of what: `integrated` points, or one gradient. */
  readonly estimate: { readonly integrated: number | undefined };
  readonly sites: readonly EstimatedSite[];
  /** How far the estimate is off, if some cells were measured. */
  readonly verification: Verification | undefined;
}

/**
 * Estimates every cell of every job without patching it.
 *
 * @returns one result per job
 * @throws NoticeError('gradient') naming family and operator that has no derivative; as {@link sweep}
 */
export async function attributionPatching(
  model: VisionLanguageModel,
  given: readonly SweepJobInput[],
  options: EstimateOptions = {},
): Promise<EstimateResult[]> {
  const { metric, integrated, features = false, verify = 0, signal } = options;
  if (integrated !== undefined) checkWhole(integrated, 'integrated', { from: 1 });
  checkWhole(verify, 'verify');
  checkFlag(features, 'features');
  checkSignal(signal);
  const jobs = measuredJobs(given, metric);
  const prepared = jobs.map((job, pair) => prepareJob(model, job, pair));
  const cells = prepared.flatMap((job) => job.cells);
  const runs = new AttributionRuns(model, jobs, cells, { integrated, features, signal });
  const found = await runs.estimate();
  const results: EstimateResult[] = [];
  for (const [pair, job] of jobs.entries()) {
    const { layouts, cells: own } = prepared[pair] as (typeof prepared)[number];
    const logits = found.logits.get(pair) as SweepResult['logits'];
    const estimates = new Map(own.map((cell) => [cell, estimateOf(found, cell)]));
    const baseline = baselineOf(job, logits);
    const at = baseline.metric?.corrupt ?? baseline.ldCorrupt;
    const sites = layouts.map((layout, site): EstimatedSite => {
      const { layers, heads, positions } = layout;
      const inSite = own.filter((cell) => cell.site === site);
      const data = new Float32Array(METRIC_NUMBERS.length * inSite.length);
      for (const cell of inSite) {
        const effect = estimates.get(cell) as number;
        data.set([at + effect, effect], METRIC_NUMBERS.length * cell.index);
      }
      const shape = [
        layers.length,
        ...(heads === undefined ? [] : [heads]),
        positions.length,
        METRIC_NUMBERS.length,
      ];
      return { ...layout, shape, data, features: features ? featuresOf(found, inSite) : undefined };
    });
    const verification =
      verify > 0
        ? await verifyEstimate(model, jobs, estimates, verify, job.metric !== undefined, signal)
        : undefined;
    results.push({
      sites,
      baseline,
      logits,
      controls: undefined,
      estimate: { integrated },
      verification,
    });
  }
  return results;
}

/** Σ over the cell's positions and heads. */
function estimateOf({ products, perHead }: Estimates, cell: Cell): number {
  const { values, columns } = productsOf(products, cell);
  const size = perHead(cell.hook);
  const [first, end] = cell.head === undefined ? [0, columns] : [cell.head * size, (cell.head + 1) * size];
  let sum = 0;
  for (const position of cell.positions)
    for (let c = first; c < end; c++) sum += values[position * columns + c] as number;
  if (!Number.isFinite(sum))
    throw new NoticeError(
      'not-finite',
      `${cell.hook}: the estimate at position ${cell.positions.join(', ')} is ${sum}`,
    );
  return sum;
}

function productsOf(products: Estimates['products'], { pair, hook, source = hook }: Cell) {
  const found = products.get(keyOf(pair, hook, source));
  if (!found) throw new NoticeError('hook', `${hook}: the run did not come to this hook point`);
  return found;
}

function featuresOf({ products }: Estimates, cells: readonly Cell[]): EstimatedSite['features'] {
  const byLayer = [...new Map(cells.map((cell) => [cell.layer, productsOf(products, cell)])).values()];
  const { values, columns } = byLayer[0] as (typeof byLayer)[number];
  const data = new Float32Array(byLayer.length * values.length);
  for (const [l, own] of byLayer.entries()) data.set(own.values, l * values.length);
  return { shape: [byLayer.length, values.length / columns, columns], data };
}

function baselineOf(job: SweepJob, { clean, corrupt }: SweepResult['logits']): Baseline {
  const { correct, incorrect, metric } = job;
  const difference = logitDifference(correct, incorrect);
  const p = (logits: Float32Array) => metricOf(logits, { kind: 'probability', token: correct });
  return {
    pClean: p(clean),
    pCorrupt: p(corrupt),
    ldClean: metricOf(clean, difference),
    ldCorrupt: metricOf(corrupt, difference),
    ...(metric && { metric: { clean: metricOf(clean, metric), corrupt: metricOf(corrupt, metric) } }),
  };
}
