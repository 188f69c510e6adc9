// Which cells are computed in one walk. What a walk takes is found by making it without computing anything.

import { NoticeError } from '../errors.ts';
import type { WorkEstimate } from '../gpu/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { Cell, SweepJob } from './cells.ts';
import { walkCells } from './walk-cells.ts';

/** Share of the memory budget that a walk may take; the pool rounds sizes up and keeps some buffers. */
const BUDGET_SHARE = 0.75;

export interface SplitOptions {
  readonly cellsPerWalk?: number;
  readonly controls?: boolean;
}

/** What a walk over these cells costs. */
export function estimateWalk(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  controls: boolean,
): Promise<WorkEstimate> {
  return model.gpu.estimate(async () => {
    await walkCells(model, jobs, cells, { mode: 'wavefront', controls, estimate: true });
  });
}

/**
 * Splits cells into walks. Walks of one group work on the same pairs and share image features.
 *
 * @throws NoticeError('out-of-memory') if not even one cell fits, ('usage') for less than one cell per walk
 */
export async function splitCells(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  { cellsPerWalk, controls = true }: SplitOptions,
): Promise<Cell[][][]> {
  const groups: Cell[][][] = [];
  let open: Cell[] = [];
  const limit = cellsPerWalk ?? Number.POSITIVE_INFINITY;
  if (!(limit >= 1)) throw new NoticeError('usage', `cellsPerWalk is ${cellsPerWalk}, expected at least 1`);
  const fits = async (part: readonly Cell[]) =>
    part.length <= limit && fitsDevice(model, await estimateWalk(model, jobs, part, controls));
  for (const pair of new Set(cells.map((cell) => cell.pair))) {
    const own = cells.filter((cell) => cell.pair === pair);
    const joined = [...open, ...own];
    if (await fits(joined)) {
      open = joined;
      continue;
    }
    if (open.length > 0) groups.push([open]);
    open = [];
    if (await fits(own)) open = own;
    else groups.push(await halve(own, fits));
  }
  if (open.length > 0) groups.push([open]);
  return groups;
}

function fitsDevice(model: VisionLanguageModel, { peakBytes, largestBytes }: WorkEstimate): boolean {
  const { budget, statistics } = model.gpu.pool;
  const { maxStorageBufferBindingSize, maxBufferSize } = model.gpu.capabilities.limits;
  return (
    peakBytes <= BUDGET_SHARE * budget - statistics.usedBytes &&
    largestBytes <= Math.min(maxStorageBufferBindingSize, maxBufferSize)
  );
}

async function halve(cells: Cell[], fits: (part: readonly Cell[]) => Promise<boolean>): Promise<Cell[][]> {
  if (await fits(cells)) return [cells];
  if (cells.length === 1)
    throw new NoticeError(
      'out-of-memory',
      `the patch at ${cells[0]?.hook} does not fit the memory budget by itself. Raise the memory budget.`,
    );
  const middle = Math.ceil(cells.length / 2);
  return [...(await halve(cells.slice(0, middle), fits)), ...(await halve(cells.slice(middle), fits))];
}
