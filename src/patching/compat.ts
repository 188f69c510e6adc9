// What the paper's released code patches with where it differs from the paper's text.

import type { Work } from '../gpu/index.ts';
import { type ImageFeatures, ModelRun, type Probe, type VisionLanguageModel } from '../models/index.ts';
import { type CachedActivation, cacheActivation } from './cache.ts';
import type { Cell, SweepJob } from './cells.ts';
import type { CompatSwitch } from './compat-switches.ts';
import type { PatchSource } from './intervention.ts';
import { StopWalk } from './probe.ts';

/** Positions of a clean run whose layer outputs are wanted, by hook point. */
type Wanted = ReadonlyMap<string, ReadonlyMap<ModelRun, readonly number[]>>;

/**
 * The clean runs' layer outputs, where `residual-into-module` puts them into LLaVA's MLP output or z. They come after the
 * place where they are put, so the clean runs go ahead as far as they are needed; only the positions that some cell
 * takes are kept.
 *
 * @returns where a cell's value comes from, if not from the clean run at the same place
 */
export async function layerOutputs(
  w: Work,
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  compat: readonly CompatSwitch[],
  features: ImageFeatures | undefined,
): Promise<(cell: Cell) => PatchSource | undefined> {
  if (model.family !== 'llava' || !compat.includes('residual-into-module')) return () => undefined;
  const modules = cells.filter(isModule);
  const layers = model.configs.at(-1)?.layers ?? 0;
  // The last layer's output is taken after the final norm, as `output_hidden_states` has it.
  const hookOf = ({ layer }: Cell) =>
    layer === layers - 1 ? 'language.hook_out' : `language.blocks.${layer}.hook_resid_post`;
  const runs = new Map(
    [...new Set(modules.map(({ pair }) => pair))].map((pair) => [
      pair,
      new ModelRun((jobs[pair] as SweepJob).clean),
    ]),
  );
  const wanted = new Map<string, Map<ModelRun, number[]>>();
  for (const cell of modules) {
    const run = runs.get(cell.pair) as ModelRun;
    const byRun = wanted.get(hookOf(cell)) ?? new Map<ModelRun, number[]>();
    byRun.set(run, [...new Set([...(byRun.get(run) ?? []), ...cell.positions])]);
    wanted.set(hookOf(cell), byRun);
  }
  const cached = await outputsOf(w, model, [...runs.values()], wanted, features);
  return (cell) => {
    if (!isModule(cell)) return undefined;
    const run = runs.get(cell.pair) as ModelRun;
    const byRun = wanted.get(hookOf(cell)) as Map<ModelRun, number[]>;
    return {
      cached: cached.get(hookOf(cell)) as CachedActivation,
      batch: [...byRun.keys()].indexOf(run),
      positions: cell.positions.map((position) => byRun.get(run)?.indexOf(position) as number),
    };
  };
}

/** Walks runs as far as the last of some hook points. */
async function outputsOf(
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

function isModule({ hook, head }: Cell): boolean {
  return head === undefined && /^language\.blocks\.\d+\.(hook_mlp_out|attn\.hook_z)$/.test(hook);
}
