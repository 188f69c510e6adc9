// Values that cells take from another hook point of the clean run than the one where they put them: back-patching.

import type { Work } from '../gpu/index.ts';
import { type ImageFeatures, ModelRun, type Probe, type VisionLanguageModel } from '../models/index.ts';
import { type CachedActivation, cacheActivation } from './cache.ts';
import type { Cell, SweepJob } from './cells.ts';
import type { PatchSource } from './intervention.ts';
import { StopWalk } from './probe.ts';

/** Positions of clean runs that are wanted, by hook point. */
type Wanted = ReadonlyMap<string, ReadonlyMap<ModelRun, readonly number[]>>;

/**
 * The clean runs' values at the hook points that cells name as their source. These may come after the place where the values
 * are put, so the clean runs go ahead as far as they are needed; only the positions that some cell takes are kept.
 *
 * @returns where a cell's value comes from, if not from the clean run at the same place
 */
export async function valuesAhead(
  w: Work,
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  features: ImageFeatures | undefined,
): Promise<(cell: Cell) => PatchSource | undefined> {
  const sourced = cells.filter(hasSource);
  const runs = new Map(
    [...new Set(sourced.map(({ pair }) => pair))].map((pair) => [
      pair,
      new ModelRun((jobs[pair] as SweepJob).clean),
    ]),
  );
  const wanted = new Map<string, Map<ModelRun, number[]>>();
  for (const cell of sourced) {
    const run = runs.get(cell.pair) as ModelRun;
    const byRun = wanted.get(cell.source) ?? new Map<ModelRun, number[]>();
    byRun.set(run, [...new Set([...(byRun.get(run) ?? []), ...cell.positions])]);
    wanted.set(cell.source, byRun);
  }
  const cached = await valuesOf(w, model, [...runs.values()], wanted, features);
  return (cell) => {
    if (!hasSource(cell)) return undefined;
    const run = runs.get(cell.pair) as ModelRun;
    const byRun = wanted.get(cell.source) as Map<ModelRun, number[]>;
    return {
      cached: cached.get(cell.source) as CachedActivation,
      batch: [...byRun.keys()].indexOf(run),
      positions: cell.positions.map((position) => byRun.get(run)?.indexOf(position) as number),
    };
  };
}

/** Walks runs as far as the last of some hook points. */
async function valuesOf(
  w: Work,
  model: VisionLanguageModel,
  runs: readonly ModelRun[],
  wanted: Wanted,
  features: ImageFeatures | undefined,
): Promise<Map<string, CachedActivation>> {
  const cached = new Map<string, CachedActivation>();
  if (wanted.size === 0) return cached;
  const probe: Probe = {
    wants: (name) => wanted.has(name),
    forks: () => [],
    visit: (activation) => {
      const byRun = wanted.get(activation.name) as ReadonlyMap<ModelRun, readonly number[]>;
      const positions = [...byRun.values()];
      cached.set(
        activation.name,
        cacheActivation(w, activation, [...byRun.keys()], (i) => positions[i]),
      );
      if (cached.size === wanted.size) throw new StopWalk();
    },
  };
  try {
    await model.forward(w, runs, { probe, ...(features ? { features } : {}) });
  } catch (error) {
    if (!(error instanceof StopWalk)) throw error;
  }
  return cached;
}

function hasSource(cell: Cell): cell is Cell & { readonly source: string } {
  return cell.source !== undefined;
}
