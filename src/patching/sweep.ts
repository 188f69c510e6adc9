// Activation patching of many cells at once: the corrupt run with one activation at a time replaced by the clean run's.
//
// In a wavefront all runs climb together. A patched run costs nothing below its patch, only the patched rows inside the
// block, and above it only the rows that can see them; everything else is read from the corrupt run. One by one, every
// cell is a full forward pass of clean, corrupt and patched run, images included, as the paper's code does it. Both
// give the same bits, since a row's arithmetic does not depend on the rows beside it.

import { checkChoice, checkFlag, checkFunctions, checkSignal, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { ImageFeatures, VisionLanguageModel } from '../models/index.ts';
import type { SweepMode } from './batch.ts';
import {
  type Cell,
  imagesOf,
  measuredJobs,
  type SiteLayout,
  type SweepJob,
  type SweepJobInput,
  siteCells,
} from './cells.ts';
import { type Controls, mergeControls } from './controls.ts';
import { corruptionOf } from './corruption.ts';
import { keepFeatures } from './features.ts';
import { type NamedPass, namingNotFinite } from './finite.ts';
import { checkMetric, logitDifference, type Metric } from './metric.ts';
import { splitCells } from './split.ts';
import { type Baseline, type BaseNumbers, walkCells } from './walk-cells.ts';

const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

/** How many cells of a sweep are repeated one by one, unless `repeat` says something else. */
export const REPEATED_CELLS = 3;

/** A patch that has been measured. */
export interface MeasuredCell extends Pick<Cell, 'site' | 'index' | 'layer' | 'head' | 'positions'> {
  /** Those that {@link SiteResult} has in `data` from index · (how many they are) on. */
  readonly numbers: Float32Array;
}

export interface SweepOptions {
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

/** The four numbers of a cell: P'(correct), P'(correct) − P*(correct), LD' − LD*, (LD' − LD*) / (LD − LD*). */
export const METRICS = ['p', 'p_effect', 'ld_effect', 'normalized'] as const;

/** The two numbers of a cell of a job with a metric m: m', m' − m*. */
export const METRIC_NUMBERS = ['patched', 'effect'] as const;

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
  const { mode = 'wavefront', controls = true, repeat = REPEATED_CELLS, signal } = options;
  const { onProgress, onCells } = options;
  checkChoice(mode, 'mode', ['wavefront', 'one-by-one']);
  checkWhole(repeat, 'repeat');
  checkFunctions({ onProgress, onCells });
  checkSignal(signal);
  const prepared = jobs.map((job, pair) => prepareJob(model, job, pair));
  const cells = prepared.flatMap((job) => job.cells);
  const numbers = new Map<Cell, Float32Array>();
  const bases = new Map<number, BaseNumbers>();
  const walk = async (part: readonly Cell[], features?: ImageFeatures) => {
    const found = await namingNotFinite(
      model,
      () => passesOf(model, jobs, part, signal),
      () => walkCells(model, jobs, part, { mode, features, controls, signal }),
    );
    part.forEach((cell, i) => {
      numbers.set(cell, found.cells[i] as Float32Array);
    });
    for (const [pair, base] of found.bases) {
      const controls = mergeControls(bases.get(pair)?.controls, base.controls);
      bases.set(pair, { ...base, controls });
    }
    for (const pair of onCells ? found.bases.keys() : []) {
      const own = part.filter((cell) => cell.pair === pair);
      onCells?.(
        pair,
        own.map((cell) => measured(cell, numbers.get(cell) as Float32Array)),
      );
    }
    onProgress?.(numbers.size, cells.length);
  };
  if (mode === 'one-by-one') {
    for (const cell of cells) await walk([cell]);
  } else {
    for (const group of await splitCells(model, jobs, cells, options))
      await walkGroup(model, jobs, group, walk, signal);
    for (const cell of controls ? repeatedCells(model, cells, numbers, repeat) : []) {
      const again = await walkCells(model, jobs, [cell], { mode: 'one-by-one', controls: false, signal });
      checkRepeated(cell, numbers.get(cell) as Float32Array, again.cells[0] as Float32Array);
    }
  }
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

function measured({ site, index, layer, head, positions }: Cell, numbers: Float32Array): MeasuredCell {
  return { site, index, layer, head, positions, numbers };
}

/** The clean and corrupt runs that cells are compared with. */
function passesOf(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  signal: AbortSignal | undefined,
): NamedPass[] {
  return [...new Set(cells.map(({ pair }) => pair))].flatMap((pair) => {
    const job = jobs[pair] as SweepJob;
    const { clean, corrupt } = job;
    const interventions = corruptionOf(model, job);
    return [
      { name: `pair ${pair}, clean run`, sample: clean, options: { signal } },
      { name: `pair ${pair}, corrupt run`, sample: corrupt, options: { interventions, signal } },
    ];
  });
}

/** Walks that share their image features, if they are several. */
async function walkGroup(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  group: readonly (readonly Cell[])[],
  walk: (part: readonly Cell[], features?: ImageFeatures) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const [first] = group;
  if (first && group.length === 1) return walk(first);
  const features = await keepFeatures(model, imagesOf(jobs, group.flat()), { signal });
  try {
    for (const part of group) await walk(part, features);
  } finally {
    model.gpu.release(...features.tensors);
  }
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
  const { clean, corrupt, sites, noise } = job;
  if (clean.ids.length !== corrupt.ids.length)
    throw new NoticeError(
      'text',
      `pair ${pair}: the clean prompt has ${clean.ids.length} tokens, the corrupt one ${corrupt.ids.length}; ` +
        'patching goes position by position. Choose a replacement of the same token length.',
    );
  checkMetric(logitDifference(job.correct, job.incorrect), `pair ${pair}`, model.vocabulary);
  if (job.metric !== undefined) checkMetric(job.metric, `pair ${pair}, metric`, model.vocabulary);
  if (noise) checkNoise(model, noise.hook, pair);
  if (job.noImage !== undefined) checkFlag(job.noImage, `pair ${pair}: noImage`);
  const parts = sites.map((site, i) => siteCells(model, job, pair, site, i));
  if (parts.every((part) => part.cells.length === 0))
    throw new NoticeError('usage', `pair ${pair}: no cells to patch`);
  return { layouts: parts.map(({ layout }) => layout), cells: parts.flatMap((part) => part.cells) };
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

/**
 * The cells that are repeated. First the one on which most depends: of the earliest that have an effect, that with the
 * largest. Then others, spread over all by the golden ratio.
 */
function repeatedCells(
  model: VisionLanguageModel,
  cells: readonly Cell[],
  numbers: ReadonlyMap<Cell, Float32Array>,
  count: number,
): Cell[] {
  const [first] = cells
    .map((cell) => ({
      cell,
      effect: effectOf(numbers.get(cell) as Float32Array),
      depth: model.towers.indexOf(cell.tower) + cell.layer / 1000,
    }))
    .sort((a, b) => Number(b.effect > 0) - Number(a.effect > 0) || a.depth - b.depth || b.effect - a.effect);
  const picks = new Set<Cell>(first && count > 0 ? [first.cell] : []);
  for (let i = 1; picks.size < Math.min(count, cells.length); i++)
    picks.add(cells[Math.floor(((i * GOLDEN_RATIO) % 1) * cells.length)] as Cell);
  return [...picks];
}

/** What the numbers of a cell are called. */
function namesOf(numbers: Float32Array): readonly string[] {
  return numbers.length === METRICS.length ? METRICS : METRIC_NUMBERS;
}

/** Size of the effect on the job's metric, or on the logit difference. */
function effectOf(numbers: Float32Array): number {
  const at = namesOf(numbers).findIndex((name) => name === 'effect' || name === 'ld_effect');
  return Math.abs(numbers[at] as number);
}

/** @throws NoticeError('control') unless all numbers of a cell are the same, bit for bit */
export function checkRepeated(cell: Cell, wavefront: Float32Array, oneByOne: Float32Array): void {
  for (const [i, name] of namesOf(wavefront).entries()) {
    if (Object.is(wavefront[i], oneByOne[i])) continue;
    throw new NoticeError(
      'control',
      `the patch at ${cell.hook}, position ${cell.positions.join(', ')}, gives ${name} = ${wavefront[i]} in the ` +
        `sweep and ${oneByOne[i]} by itself`,
    );
  }
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
