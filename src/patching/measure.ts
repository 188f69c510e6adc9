// Measuring cells: walks over as many of them as fit, and some of them again by themselves.

import { NoticeError } from '../errors.ts';
import type { ImageFeatures, VisionLanguageModel } from '../models/index.ts';
import type { SweepMode } from './batch.ts';
import { type Cell, imagesOf, type SweepJob } from './cells.ts';
import { type Edited, nameOf } from './changes.ts';
import { mergeControls } from './controls.ts';
import { corruptionOf } from './corruption.ts';
import { keepFeatures } from './features.ts';
import { type NamedPass, namingNotFinite } from './finite.ts';
import { towerOf } from './names.ts';
import { splitCells } from './split.ts';
import { type BaseNumbers, type WalkResult, walkCells } from './walk-cells.ts';

const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

/** How many cells of a sweep are repeated one by one, unless `repeat` says something else. */
export const REPEATED_CELLS = 3;

/** The four numbers of a cell: P'(correct), P'(correct) − P*(correct), LD' − LD*, (LD' − LD*) / (LD − LD*). */
export const METRICS = ['p', 'p_effect', 'ld_effect', 'normalized'] as const;

/** The two numbers of a cell of a job with a metric m: m', m' − m*. */
export const METRIC_NUMBERS = ['patched', 'effect'] as const;

export interface MeasureOptions<C> {
  readonly mode: SweepMode;
  readonly controls: boolean;
  /** Cells that are repeated one by one as a control. */
  readonly repeat: number;
  readonly cellsPerWalk?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((cellsDone: number, cells: number) => void) | undefined;
  /** Told what a walk over some of the cells gives. */
  readonly onWalk?: ((part: readonly C[], found: WalkResult) => void) | undefined;
}

export interface Measurements<C> {
  /** Of each cell {@link METRICS}, or {@link METRIC_NUMBERS} where its job has a metric. */
  readonly numbers: ReadonlyMap<C, Float32Array>;
  /** Elements that are written, or edges of attention that are cut, in its run. */
  readonly counts: ReadonlyMap<C, number>;
  readonly bases: ReadonlyMap<number, BaseNumbers>;
}

/**
 * Walks cells, all at once or as many as fit, or one by one.
 *
 * @throws NoticeError('unfired') if a change did not happen exactly as asked, ('control') if a self-check fails, ('not-finite'),
 *   ('out-of-memory')
 */
export async function measure<C extends Cell | Edited>(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly C[],
  { mode, controls, repeat, cellsPerWalk, signal, onProgress, onWalk }: MeasureOptions<C>,
): Promise<Measurements<C>> {
  const numbers = new Map<C, Float32Array>();
  const counts = new Map<C, number>();
  const bases = new Map<number, BaseNumbers>();
  const walk = async (part: readonly C[], features?: ImageFeatures) => {
    const found = await namingNotFinite(
      model,
      () => passesOf(model, jobs, part, signal),
      () => walkCells(model, jobs, part, { mode, features, controls, signal }),
    );
    part.forEach((cell, i) => {
      numbers.set(cell, found.cells[i] as Float32Array);
      counts.set(cell, found.counts[i] as number);
    });
    for (const [pair, base] of found.bases) {
      const controls = mergeControls(bases.get(pair)?.controls, base.controls);
      bases.set(pair, { ...base, controls });
    }
    onWalk?.(part, found);
    onProgress?.(numbers.size, cells.length);
  };
  if (mode === 'one-by-one') {
    for (const cell of cells) await walk([cell]);
  } else {
    const limit = cellsPerWalk === undefined ? {} : { cellsPerWalk };
    for (const group of await splitCells(model, jobs, cells, { controls, signal, ...limit }))
      await walkGroup(model, jobs, group, walk, signal);
    for (const cell of controls ? repeatedCells(model, cells, numbers, repeat) : []) {
      const again = await walkCells(model, jobs, [cell], { mode: 'one-by-one', controls: false, signal });
      checkRepeated(cell, numbers.get(cell) as Float32Array, again.cells[0] as Float32Array);
    }
  }
  return { numbers, counts, bases };
}

/** The clean and corrupt runs that cells are compared with. */
function passesOf(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly (Cell | Edited)[],
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
async function walkGroup<C extends Cell | Edited>(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  group: readonly (readonly C[])[],
  walk: (part: readonly C[], features?: ImageFeatures) => Promise<void>,
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
 * The cells that are repeated. First the one on which most depends: of the earliest that have an effect, that with the
 * largest. Then others, spread over all by the golden ratio.
 */
function repeatedCells<C extends Cell | Edited>(
  model: VisionLanguageModel,
  cells: readonly C[],
  numbers: ReadonlyMap<C, Float32Array>,
  count: number,
): C[] {
  const [first] = cells
    .map((cell) => ({
      cell,
      effect: effectOf(numbers.get(cell) as Float32Array),
      depth: model.towers.indexOf(towerOf(cell.hook)) + cell.layer / 1000,
    }))
    .sort((a, b) => Number(b.effect > 0) - Number(a.effect > 0) || a.depth - b.depth || b.effect - a.effect);
  const picks = new Set<C>(first && count > 0 ? [first.cell] : []);
  for (let i = 1; picks.size < Math.min(count, cells.length); i++)
    picks.add(cells[Math.floor(((i * GOLDEN_RATIO) % 1) * cells.length)] as C);
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
export function checkRepeated(cell: Cell | Edited, wavefront: Float32Array, oneByOne: Float32Array): void {
  const at = cell.positions.length > 0 ? `, position ${cell.positions.join(', ')},` : '';
  for (const [i, name] of namesOf(wavefront).entries()) {
    if (Object.is(wavefront[i], oneByOne[i])) continue;
    throw new NoticeError(
      'control',
      `${nameOf(cell)} at ${cell.hook}${at} gives ${name} = ${wavefront[i]} in the ` +
        `sweep and ${oneByOne[i]} by itself`,
    );
  }
}
