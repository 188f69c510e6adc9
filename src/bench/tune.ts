// Which kernels are the fastest on an adapter: every candidate of every choice is run, its bits compared, and timed. No choice
// changes a result.

import { NoticeError } from '../errors.ts';
import type { Gpu, Tensor, TuningTable, Work } from '../gpu/index.ts';
import { type MatmulVariant, matmul, type TuningTask, tuningTasks, type Weight } from '../kernels/index.ts';
import { storedAs } from './cases.ts';
import { alternate, type Contender, type MeasureOptions, median, randomValues } from './measure.ts';

export interface TuneOptions extends MeasureOptions {
  /** Keys to measure; default all. */
  readonly only?: RegExp | undefined;
  /** Told of every choice as soon as it is measured. */
  readonly onResult?: (result: TuningResult) => void;
}

/** One choice of kernels. */
export interface TuningResult extends Pick<TuningTask, 'key' | 'm' | 'n' | 'k' | 'type'> {
  /** Milliseconds of one dispatch by candidate, the default first. */
  readonly times: readonly { readonly variant: MatmulVariant; readonly ms: number }[];
  /** The fastest, unless the default is as fast. */
  readonly chosen: { readonly variant: MatmulVariant; readonly ms: number };
  /** The same product on matrix units, where the device was opened with them; `error` as a part of the largest value. */
  readonly matrices?: { readonly ms: number; readonly error: number };
}

/** A candidate has to be this much faster than the default: less is noise. */
const MARGIN = 0.97;
/** Products on matrix units are as exact as this, of the largest value: f32 sums of operands that keep 22 bits. */
const MATRIX_ERROR = 1e-5;
const MATRICES = 'matrices';

/**
 * Measures the candidates of every choice.
 *
 * @returns what {@link GpuOptions.tuning} takes, with those choices of `gpu` that were not measured, and the figures
 * @throws NoticeError('control') if a candidate has other bits than the default, or matrix units are off by too much
 */
export async function tuneKernels(
  gpu: Gpu,
  { only, onResult, ...options }: TuneOptions,
): Promise<{ readonly table: TuningTable; readonly results: readonly TuningResult[] }> {
  const table: Record<string, object> = { ...gpu.capabilities.tuning };
  const results: TuningResult[] = [];
  for (const task of tuningTasks(gpu.capabilities)) {
    if (only && !only.test(task.key)) continue;
    const result = await gpu.work((w) => measureTask(w, task, options), { signal: options.signal });
    const { key, chosen, times } = result;
    if (chosen.variant === times[0]?.variant) delete table[key];
    else table[key] = chosen.variant;
    results.push(result);
    onResult?.(result);
  }
  return { table, results };
}

async function measureTask(w: Work, task: TuningTask, options: MeasureOptions): Promise<TuningResult> {
  const { key, m, n, k, type, candidates } = task;
  const a = w.upload(randomValues(m * k), m, k, 'a');
  const weight = storedAs(w, type, randomValues(n * k, 2), n, k);
  const out = w.empty(m, n, 'out');
  // Enough dispatches in one submission that a GPU's time is not that of the submission.
  const chain = w.capabilities.software ? 1 : 50;
  const contender = (name: string, variant?: MatmulVariant): Contender => ({
    name,
    run: () => {
      for (let i = 0; i < chain; i++) matmul(w, a, weight, { out, variant });
      return w.finish();
    },
  });
  const names = candidates.map((variant) => variantName(variant));
  const [usual] = candidates as [MatmulVariant];
  const reference = await product(w, a, weight, usual);
  for (const variant of candidates) {
    const values = await product(w, a, weight, variant);
    const wrong = values.findIndex((value, i) => !Object.is(value, reference[i]));
    if (wrong >= 0)
      throw new NoticeError(
        'control',
        `${key}: element ${wrong} of ${variantName(variant)} is ${values[wrong]}, not ${reference[wrong]} as of ${names[0]}`,
      );
  }
  const error = w.capabilities.subgroupMatrix && (await matrixError(w, key, a, weight, reference));
  const all = candidates.map((variant, i) => contender(names[i] as string, variant));
  if (error !== undefined) all.push(contender(MATRICES));
  const measured = await alternate(all, options);
  const msOf = (name: string) => median(measured.get(name)?.wall ?? []) / chain;
  const times = candidates.map((variant, i) => ({ variant, ms: msOf(names[i] as string) }));
  const [first] = times as [(typeof times)[number]];
  const best = times.reduce((a, b) => (b.ms < a.ms ? b : a));
  return {
    ...{ key, m, n, k, type, times },
    chosen: best.ms < MARGIN * first.ms ? best : first,
    ...(error !== undefined && { matrices: { ms: msOf(MATRICES), error } }),
  };
}

/** How far a product on matrix units is from the others, as a part of the largest value. */
async function matrixError(
  w: Work,
  key: string,
  a: Tensor,
  weight: Weight,
  reference: Float32Array,
): Promise<number> {
  const values = await product(w, a, weight);
  const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const error = values.reduce((most, value, i) => Math.max(most, Math.abs(value - reference[i]!)), 0);
  if (!(error <= MATRIX_ERROR * largest))
    throw new NoticeError('control', `${key}: matrix units are ${error} off, of values up to ${largest}`);
  return error / largest;
}

async function product(w: Work, a: Tensor, weight: Weight, variant?: MatmulVariant): Promise<Float32Array> {
  const result = matmul(w, a, weight, { variant });
  const [values] = await w.read(result);
  w.release(result);
  return values as Float32Array;
}

/** `matmul_tile 4 8 16 16 256 4` */
export function variantName(variant: MatmulVariant): string {
  return Object.values(variant).join(' ');
}
