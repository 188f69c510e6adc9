// How a metric of the answer changes with every activation: one pass forward and one back.

import { checkFlag } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { TapedWork, type Tensor, type Work } from '../gpu/index.ts';
import { logSumExp, metricGradients, metricValues } from '../kernels/index.ts';
import {
  ModelRun,
  type SampleInput,
  samplesOf,
  type VisionLanguageModel,
  withOwnImages,
} from '../models/index.ts';
import { ActivationCache, type CachedActivation } from './cache.ts';
import { EditSet } from './edits.ts';
import { GradientWatch, type PixelGradients } from './gradient-watch.ts';
import { checkMetric, type Metric } from './metric.ts';
import { type NameFilter, selectHooks } from './names.ts';
import { PatchProbe } from './probe.ts';
import { named, type RunOptions } from './run.ts';

export interface GradientOptions extends Pick<RunOptions, 'interventions' | 'signal'> {
  /** What is differentiated, of the logits at the answer's first position: one metric for all samples, or one for each. */
  readonly metric: Metric | readonly Metric[];
  /** Hook points; default all. What lies before the first of them is not walked back. */
  readonly names?: NameFilter;
  /** Whether the pixel values' gradients are computed, too; default false. */
  readonly pixels?: boolean;
}

export interface Gradients {
  /** Each sample's metric. */
  readonly values: Float32Array;
  /** Of the answer's first position, per sample [vocabulary]. */
  readonly logits: Float32Array[];
  /** Activations by hook name, as {@link runWithCache} has them. */
  readonly cache: ActivationCache;
  /**
   * ∂metric/∂activation by hook name, of each sample's own metric: shape and order are those of `cache`. A hook point that feeds
   * nothing has zeros.
   */
  readonly gradients: ActivationCache;
  /** ∂metric/∂pixel values: per sample, of each of its images, laid out as its `data`. */
  readonly pixels: Float32Array[][] | undefined;
  /** Frees both caches. */
  release(): void;
}

/**
 * A forward pass, and the gradient of a metric by the activations at hook points and by the pixels: all other activations are
 * functions of them, none is held. Interventions are differentiated as they act: what is replaced has no effect any more.
 * Samples do not depend on each other, so a batch has the bits of single samples, and two runs have the same bits.
 *
 * @throws NoticeError('gradient') naming family and operator that has no derivative, ('hook') for an unknown hook point, ('usage')
 *   for a metric that does not fit the model; OutOfMemoryError; as {@link runWithHooks}
 */
export async function runWithGradients(
  model: VisionLanguageModel,
  given: readonly SampleInput[],
  options: GradientOptions,
): Promise<Gradients> {
  const { names = () => true, pixels = false } = options;
  checkFlag(pixels, 'pixels');
  const samples = samplesOf(given);
  if (samples.length === 0) throw new NoticeError('usage', 'no samples to run');
  const metrics = metricsOf(options.metric, samples.length);
  for (const [i, metric] of metrics.entries()) checkMetric(metric, `sample ${i}: metric`, model.vocabulary);
  const { interventions } = await named(model, options);
  const hooks = selectHooks(model, names);
  const runs = samples.map((sample) => new ModelRun(withOwnImages(sample)));
  return model.gpu.work(async (w) => {
    const taped = new TapedWork(w, model.family);
    const watch = new GradientWatch(taped, hooks, pixels);
    const edits = new EditSet(taped, runs, interventions);
    const probe = new PatchProbe(taped, { edits, watch, runs });
    const { tensor, rowOf } = await model.forward(taped, runs, { probe });
    const rows = runs.map((run) => rowOf(run));
    const { value, gradient } = seed(w, tensor, rows, metrics);
    const [all, metric] = (await w.read(tensor, value)) as [Float32Array, Float32Array];
    const { columns } = tensor;
    const logits = rows.map((row) => all.slice(row * columns, (row + 1) * columns));
    await probe.verify();
    await taped.tape.backward(tensor, gradient);
    const { values, gradients } = watch;
    const inOrder = values.map(({ name }) => gradients.get(name) as CachedActivation);
    const pixelGradients = pixels ? await readPixels(w, runs, watch.pixelGradients) : undefined;
    w.keep(...[...values, ...inOrder].map((activation) => activation.tensor));
    const [cache, gradientCache] = [values, inOrder].map(
      (list) => new ActivationCache(list.map((activation) => activation.keptOn(model.gpu))),
    ) as [ActivationCache, ActivationCache];
    return {
      values: metric,
      logits,
      cache,
      gradients: gradientCache,
      pixels: pixelGradients,
      release: () => {
        cache.release();
        gradientCache.release();
      },
    };
  }, options);
}

function metricsOf(metric: Metric | readonly Metric[], count: number): readonly Metric[] {
  const metrics = Array.isArray(metric)
    ? (metric as readonly Metric[])
    : new Array<Metric>(count).fill(metric as Metric);
  if (metrics.length !== count)
    throw new NoticeError(
      'usage',
      `${metrics.length} metrics for ${count} samples; one for all of them, or one each`,
    );
  return metrics;
}

/** Metrics of rows of logits [rows, 1], and their gradient by all logits. */
export function seed(w: Work, logits: Tensor, rows: readonly number[], metrics: readonly Metric[]) {
  const ids = rows.map(() => []);
  const scores = logSumExp(w, logits, ids, rows);
  const measured = rows.map((row, i) => ({ logits: row, scores: i, metric: metrics[i] as Metric }));
  const value = metricValues(w, logits, scores, measured);
  const gradient = metricGradients(w, logits, scores, measured);
  w.release(scores);
  return { value, gradient };
}

async function readPixels(
  w: Work,
  runs: readonly ModelRun[],
  gradients: readonly PixelGradients[],
): Promise<Float32Array[][]> {
  const read = await w.read(...gradients.map(({ tensor }) => tensor));
  const byImage = new Map<object, Float32Array>();
  gradients.forEach(({ parts }, i) => {
    let at = 0;
    for (const { image, first, count } of parts) {
      const own = byImage.get(image) ?? new Float32Array(image.data.length);
      byImage.set(image, own);
      own.set((read[i] as Float32Array).subarray(at, at + count), first);
      at += count;
    }
  });
  return runs.map(({ sample }) => sample.images.map((image) => byImage.get(image) as Float32Array));
}
