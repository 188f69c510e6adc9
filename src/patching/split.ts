// Which cells are computed in one walk. What a walk takes is found by making it without computing anything.

import { checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { WorkEstimate } from '../gpu/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { Cell, SweepJob } from './cells.ts';
import { type Edited, nameOf } from './changes.ts';
import { CellWalk } from './walk-cells.ts';

export interface SplitOptions {
  readonly cellsPerWalk?: number;
  readonly controls?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What a walk over these cells costs. */
export function estimateWalk(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly (Cell | Edited)[],
  { controls = true, signal }: SplitOptions,
): Promise<WorkEstimate> {
  return model.gpu.count((w) => CellWalk.record(w, model, jobs, cells, { mode: 'wavefront', controls }), {
    signal,
  });
}

/**
 * Splits cells into walks: all at once if they fit, or half of the pairs at a time, or half of a pair's cells. Walks of
 * one group work on the same pair and share its image features.
 *
 * @throws NoticeError('out-of-memory') if not even one cell fits, ('usage') for less than one cell per walk
 */
export async function splitCells<C extends Cell | Edited>(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly C[],
  options: SplitOptions,
): Promise<C[][][]> {
  const { cellsPerWalk } = options;
  const limit = cellsPerWalk ?? Number.POSITIVE_INFINITY;
  if (cellsPerWalk !== undefined) checkWhole(cellsPerWalk, 'cellsPerWalk', { from: 1 });
  const fits = async (part: readonly C[]) =>
    part.length <= limit && (await fitsDevice(model, () => estimateWalk(model, jobs, part, options)));
  const pairs = new Map<number, C[]>();
  for (const cell of cells) {
    const own = pairs.get(cell.pair);
    if (own) own.push(cell);
    else pairs.set(cell.pair, [cell]);
  }
  return splitPairs([...pairs.values()], fits);
}

type Fits<T> = (part: readonly T[]) => Promise<boolean>;

async function splitPairs<C extends Cell | Edited>(pairs: readonly C[][], fits: Fits<C>): Promise<C[][][]> {
  if (pairs.length === 0) return [];
  const [first = []] = pairs;
  if (pairs.length === 1) return [await splitPair(first, fits)];
  const all = pairs.flat();
  if (await fits(all)) return [[all]];
  const middle = Math.ceil(pairs.length / 2);
  return [
    ...(await splitPairs(pairs.slice(0, middle), fits)),
    ...(await splitPairs(pairs.slice(middle), fits)),
  ];
}

function splitPair<C extends Cell | Edited>(cells: readonly C[], fits: Fits<C>): Promise<C[][]> {
  return splitList(cells, fits, (cell) => `${nameOf(cell)} at ${cell.hook}`);
}

/**
 * Splits a list into parts that fit: all of it, or half of it at a time.
 *
 * @param nameOf what messages call an item
 * @throws NoticeError('out-of-memory') if not even one item fits
 */
export async function splitList<T>(
  items: readonly T[],
  fits: Fits<T>,
  nameOf: (item: T) => string,
): Promise<T[][]> {
  if (await fits(items)) return [[...items]];
  if (items.length === 1)
    throw new NoticeError(
      'out-of-memory',
      `${nameOf(items[0] as T)} does not fit the memory budget by itself. Raise the memory budget.`,
    );
  const middle = Math.ceil(items.length / 2);
  return [
    ...(await splitList(items.slice(0, middle), fits, nameOf)),
    ...(await splitList(items.slice(middle), fits, nameOf)),
  ];
}

/** Whether the device has room for what is estimated. */
export async function fitsDevice(
  { gpu }: VisionLanguageModel,
  estimate: () => Promise<WorkEstimate>,
): Promise<boolean> {
  try {
    const { peakBytes, largestBytes } = await estimate();
    return peakBytes <= gpu.room.bytes && largestBytes <= gpu.room.largestBytes;
  } catch (error) {
    if (error instanceof NoticeError && error.code === 'out-of-memory') return false;
    throw error;
  }
}
