// Edge attribution patching (Syed et al. 2023; with integrated gradients Hanna et al. 2024): a first-order estimate of path patching for
// all edges of a tower at once, from a pass of each run and one way back: score(u → v) = (u − u*) · ∂metric/∂(what v reads of the stream).

import { checkFields, checkWhole } from '../check.ts';
import type { Sample, VisionLanguageModel } from '../models/index.ts';
import { measuredJobs, type PatchPairInput, type SweepJob } from './cells.ts';
import { corruptionOf } from './corruption.ts';
import { EdgeTower } from './edge-tower.ts';
import { runWithGradients } from './gradients.ts';
import { interpolate } from './intervention.ts';
import { logitDifference, type Metric } from './metric.ts';
import type { PathEnd } from './path-patching.ts';
import { type RunOptions, runWithCache } from './run.ts';
import { checkPair } from './sweep.ts';

export interface EdgeOptions {
  /** Default the pair's logit difference. */
  readonly metric?: Metric | undefined;
  /**
   * EAP-IG: the gradient's mean over the corrupt run with its embeddings k/n of the way to the clean run's, k = 1 … n. Default the
   * corrupt run's gradient alone.
   */
  readonly integrated?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Nodes are ends of paths, as `pathPatching` takes them: it computes an edge exactly. */
export interface EdgeAttribution {
  /** The embedding, heads and MLPs, in the order of computation. */
  readonly senders: readonly PathEnd[];
  /** Queries, keys and values of heads (of key heads), MLPs, `'logits'`. */
  readonly receivers: readonly ('logits' | PathEnd)[];
  /** [senders, receivers]; 0 where no edge leads from one to the other. */
  readonly data: Float32Array;
}

/**
 * Estimates, for every edge of the tower that answers, how the metric changes when its receiver reads the sender's clean value. The sum
 * over what a sender leads to is the attribution of the sender itself, (u − u*) · ∂metric/∂u, but for rounding.
 *
 * @throws NoticeError('usage') for a tower that does not normalise before its sublayers alone (BLIP's, Gemma's), whose stream is no sum of
 *   what they give; as `runWithGradients`, and `sweep` for the pair
 */
export async function edgeAttribution(
  model: VisionLanguageModel,
  given: PatchPairInput,
  options: EdgeOptions = {},
): Promise<EdgeAttribution> {
  checkFields(options, 'the options', ['metric', 'integrated', 'signal']);
  const { metric: wanted, integrated, signal } = options;
  if (integrated !== undefined) checkWhole(integrated, 'integrated', { from: 1 });
  const [job] = measuredJobs([{ ...given, sites: [] }], wanted) as [SweepJob];
  checkPair(model, job, 0);
  const tower = new EdgeTower(model);
  const metric = job.metric ?? logitDifference(job.correct, job.incorrect);
  const interventions = corruptionOf(model, job);
  const clean = await valuesOf(model, job.clean, tower.sent, { signal });
  const corrupt = await valuesOf(model, job.corrupt, tower.sent, { interventions, signal });
  const changes = new Map(
    [...clean].map(([name, values]) => {
      const before = corrupt.get(name) as Float32Array;
      return [name, values.map((value, i) => value - (before[i] as number))];
    }),
  );
  const scores = new Float64Array(tower.senders.length * tower.receivers.length);
  const points = Array.from({ length: integrated ?? 1 }, (_, k) => (integrated ? (k + 1) / integrated : 0));
  const embedding = clean.get(tower.embedding) as Float32Array;
  for (const alpha of points) {
    const towards = interpolate({ hook: tower.embedding }, { values: embedding }, alpha);
    const found = await runWithGradients(model, [job.corrupt], {
      metric,
      names: tower.received,
      interventions: [...interventions, ...(alpha > 0 ? [towards] : [])],
      signal,
    });
    await tower.score(changes, found, scores).finally(() => found.release());
  }
  return {
    senders: tower.senders.map(({ end }) => end),
    receivers: tower.receivers.map(({ end }) => end),
    data: Float32Array.from(scores, (score) => score / points.length),
  };
}

/** Activations of a run by hook point, on the host. */
async function valuesOf(
  model: VisionLanguageModel,
  sample: Sample,
  names: readonly string[],
  options: RunOptions,
): Promise<Map<string, Float32Array>> {
  const { cache } = await runWithCache(model, [sample], { names, ...options });
  try {
    return new Map(await Promise.all(names.map(async (name) => [name, await cache.read(name)] as const)));
  } finally {
    cache.release();
  }
}
