// Activation patching of many cells at once: the corrupt run with one activation at a time replaced by the clean run's.
//
// In a wavefront all runs climb together. A patched run costs nothing below its patch, only the patched rows inside the
// block, and above it only the rows that can see them; everything else is read from the corrupt run. One by one, every
// cell is a full forward pass of clean, corrupt and patched run, images included, as the paper's code does it. Both
// give the same bits, since a row's arithmetic does not depend on the rows beside it.

import { checkChoice, checkFlag, checkFunctions, checkSignal, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { SweepMode } from './batch.ts';
import {
  type Cell,
  measuredJobs,
  type SiteLayout,
  type SweepJob,
  type SweepJobInput,
  siteCells,
} from './cells.ts';
import type { Controls } from './controls.ts';
import { METRIC_NUMBERS, METRICS, type MeasureOptions, measure, REPEATED_CELLS } from './measure.ts';
import { checkMetric, logitDifference, type Metric } from './metric.ts';
import type { Baseline, BaseNumbers } from './walk-cells.ts';

/** A patch that has been measured. */
export interface MeasuredCell extends Pick<Cell, 'site' | 'index' | 'layer' | 'head' | 'positions'> {
  /** Those that {@link SiteResult} has in `data` from index · (how many they are) on. */
  readonly numbers: Float32Array;
}

/**
 * How a sweep is computed; all may be left out. No option but `metric` changes a number: walks of any size, and `one-by-one`, give
 * the same bits. What fails is in {@link sweep}.
 *
 * @example
 * const [result] = await sweep(model, [job], {
 *   cellsPerWalk: 256, // sooner, and all together slower
 *   onProgress: (done, cells) => console.log(done / cells),
 *   signal: AbortSignal.timeout(3_600_000),
 * });
 */
export interface SweepOptions {
  /** Default `wavefront`. */
  readonly mode?: SweepMode;
  /** What runs are measured by, of jobs that do not say it; default {@link METRICS}. */
  readonly metric?: Metric | undefined;
  /** Cells computed in one walk at most; default what the memory budget allows. Does not change any result. */
  readonly cellsPerWalk?: number;
  /** Null patch, full restoration, rounding noise and repeated cells with every wavefront; default true. */
  readonly controls?: boolean;
  /** Cells of the whole sweep that are repeated one by one as a control; default {@link REPEATED_CELLS}. */
  readonly repeat?: number;
  readonly onProgress?: (cellsDone: number, cells: number) => void;
  /** Told the cells of a pair as soon as they are measured, those of a walk together: see `cellsPerWalk`. */
  readonly onCells?: (pair: number, cells: readonly MeasuredCell[]) => void;
  /** Ends it, a plan too, at the next wait; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

export interface SiteResult extends SiteLayout {
  /**
   * [layer, position, numbers], or with heads [layer, head, position, numbers]: the numbers are the four of
   * {@link METRICS}, or the two of {@link METRIC_NUMBERS} where the job has a metric.
   */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface SweepResult {
  readonly sites: readonly SiteResult[];
  readonly baseline: Baseline;
  /** Of the answer's first position, [vocabulary]. */
  readonly logits: { readonly clean: Float32Array; readonly corrupt: Float32Array };
  /** Absent if they were not asked for, and one by one. */
  readonly controls: Controls | undefined;
}

/**
 * Patches every cell of every job.
 *
 * @returns one result per job
 * @throws NoticeError('unfired') if a patch did not happen exactly as asked, ('control') if a self-check fails,
 *   ('not-finite') naming the hook point from which on a run is NaN or infinite, ('text') if clean and corrupt prompt have different lengths
 */
export async function sweep(
  model: VisionLanguageModel,
  given: readonly SweepJobInput[],
  options: SweepOptions = {},
): Promise<SweepResult[]> {
  const jobs = measuredJobs(given, options.metric);
  const { onCells } = options;
  checkFunctions({ onCells });
  const wishes = measureOptions(options);
  const prepared = jobs.map((job, pair) => prepareJob(model, job, pair));
  const cells = prepared.flatMap((job) => job.cells);
  const { numbers, bases } = await measure(model, jobs, cells, {
    ...wishes,
    onWalk: (part, found) => {
      for (const pair of onCells ? found.bases.keys() : []) {
        const own = part.flatMap((cell, i) =>
          cell.pair === pair ? [measured(cell, found.cells[i] as Float32Array)] : [],
        );
        onCells?.(pair, own);
      }
    },
  });
  return prepared.map((job, pair) => {
    const { baseline, logits, controls: found } = bases.get(pair) as BaseNumbers;
    const sites = job.layouts.map((layout, site) =>
      arrange(
        layout,
        job.cells.filter((cell) => cell.site === site),
        numbers,
        (jobs[pair]?.metric ? METRIC_NUMBERS : METRICS).length,
      ),
    );
    return { baseline, logits, controls: found, sites };
  });
}

/** How a sweep's cells are to be measured. @throws NoticeError('usage') */
export function measureOptions({
  mode = 'wavefront',
  controls = true,
  repeat = REPEATED_CELLS,
  cellsPerWalk,
  signal,
  onProgress,
}: SweepOptions): Omit<MeasureOptions<never>, 'onWalk'> {
  checkChoice(mode, 'mode', ['wavefront', 'one-by-one']);
  checkFlag(controls, 'controls');
  checkWhole(repeat, 'repeat');
  checkFunctions({ onProgress });
  checkSignal(signal);
  return { mode, controls, repeat, cellsPerWalk, signal, onProgress };
}

function measured({ site, index, layer, head, positions }: Cell, numbers: Float32Array): MeasuredCell {
  return { site, index, layer, head, positions, numbers };
}

/**
 * The cells of a job.
 *
 * @throws as {@link sweep}
 */
export function prepareJob(
  model: VisionLanguageModel,
  job: SweepJob,
  pair: number,
): { layouts: SiteLayout[]; cells: Cell[] } {
  checkPair(model, job, pair);
  const parts = job.sites.map((site, i) => siteCells(model, job, pair, site, i));
  if (parts.every((part) => part.cells.length === 0))
    throw new NoticeError('usage', `pair ${pair}: no cells to patch`);
  return { layouts: parts.map(({ layout }) => layout), cells: parts.flatMap((part) => part.cells) };
}

/**
 * Whether a pair can be patched.
 *
 * @throws as {@link sweep}
 */
export function checkPair(model: VisionLanguageModel, job: SweepJob, pair: number): void {
  const { clean, corrupt, noise } = job;
  if (clean.ids.length !== corrupt.ids.length)
    throw new NoticeError(
      'text',
      `pair ${pair}: the clean prompt has ${clean.ids.length} tokens, the corrupt one ${corrupt.ids.length}; ` +
        'patching goes position by position. Choose a replacement of the same token length.',
    );
  checkMeasures(model, job, `pair ${pair}`);
  if (noise) checkNoise(model, noise.hook, pair);
  if (job.noImage !== undefined) checkFlag(job.noImage, `pair ${pair}: noImage`);
}

/** @throws NoticeError('usage'), ('shape') for answers or a metric that the model does not have */
export function checkMeasures(
  { vocabulary }: VisionLanguageModel,
  { correct, incorrect, metric }: Pick<SweepJob, 'correct' | 'incorrect' | 'metric'>,
  name: string,
): void {
  checkMetric(logitDifference(correct, incorrect), name, vocabulary);
  if (metric !== undefined) checkMetric(metric, `${name}, metric`, vocabulary);
}

/** Noise goes where no patch comes before it, and before all that the full restoration replaces. */
function checkNoise(model: VisionLanguageModel, hook: string, pair: number): void {
  const names = model.hooks.map((info) => info.name);
  const allowed = names
    .slice(0, names.indexOf(model.promptEmbedding) + 1)
    .filter((candidate) => !candidate.includes('.blocks.'));
  if (!allowed.includes(hook))
    throw new NoticeError(
      'hook',
      `pair ${pair}: noise cannot be added at ${hook}, only at ${allowed.join(', ')}`,
    );
}

function arrange(
  layout: SiteLayout,
  cells: readonly Cell[],
  numbers: ReadonlyMap<Cell, Float32Array>,
  width: number,
): SiteResult {
  const data = new Float32Array(width * cells.length);
  for (const cell of cells) data.set(numbers.get(cell) as Float32Array, width * cell.index);
  const { layers, heads, positions } = layout;
  const shape = [layers.length, ...(heads === undefined ? [] : [heads]), positions.length, width];
  return { ...layout, shape, data };
}
