// Which cells are computed in one walk. What a walk takes is found by making it without computing anything.

import { checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { WorkEstimate } from '../gpu/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { Cell, SweepJob } from './cells.ts';
import { CellWalk, type Edited, nameOf } from './walk-cells.ts';

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
  const fits = async (part: readonly C[]) => {
    if (part.length > limit) return false;
    try {
      return fitsDevice(model, await estimateWalk(model, jobs, part, options));
    } catch (error) {
      if (error instanceof NoticeError && error.code === 'out-of-memory') return false;
      throw error;
    }
  };
  const pairs = new Map<number, C[]>();
  for (const cell of cells) {
    const own = pairs.get(cell.pair);
    if (own) own.push(cell);
    else pairs.set(cell.pair, [cell]);
  }
  return splitPairs([...pairs.values()], fits);
}

type Fits<C> = (part: readonly C[]) => Promise<boolean>;

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

async function splitPair<C extends Cell | Edited>(cells: C[], fits: Fits<C>): Promise<C[][]> {
  if (await fits(cells)) return [cells];
  const [first] = cells;
  if (first && cells.length === 1)
    throw new NoticeError(
      'out-of-memory',
      `${nameOf(first)} at ${first.hook} does not fit the memory budget by itself. Raise the memory budget.`,
    );
  const middle = Math.ceil(cells.length / 2);
  return [
    ...(await splitPair(cells.slice(0, middle), fits)),
    ...(await splitPair(cells.slice(middle), fits)),
  ];
}

function fitsDevice(model: VisionLanguageModel, { peakBytes, largestBytes }: WorkEstimate): boolean {
  const { room } = model.gpu;
  return peakBytes <= room.bytes && largestBytes <= room.largestBytes;
}
