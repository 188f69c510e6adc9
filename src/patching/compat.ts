// What the paper's released code patches with where it differs from the paper's text.

import type { VisionLanguageModel } from '../models/index.ts';
import type { Cell, SweepJob } from './cells.ts';
import type { CompatSwitch } from './compat-switches.ts';
import type { PatchSource } from './intervention.ts';
import { runWithCache } from './run.ts';

/** The clean runs' layer outputs, where `residual-into-module` puts them into LLaVA's MLP output or z. */
export async function layerOutputs(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  compat: readonly CompatSwitch[],
): Promise<{ sourceOf: (cell: Cell) => PatchSource | undefined; release(): void } | undefined> {
  if (model.family !== 'llava' || !compat.includes('residual-into-module')) return undefined;
  if (!cells.some(isModule)) return undefined;
  const layers = model.configs.at(-1)?.layers ?? 0;
  const pairs = [...new Set(cells.map(({ pair }) => pair))];
  const { cache } = await runWithCache(
    model,
    pairs.map((pair) => (jobs[pair] as SweepJob).clean),
    { names: ['language.blocks.*.hook_resid_post', 'language.hook_out'] },
  );
  return {
    sourceOf: (cell) => {
      if (!isModule(cell)) return undefined;
      // The last layer's output is taken after the final norm, as `output_hidden_states` has it.
      const name =
        cell.layer === layers - 1 ? 'language.hook_out' : `language.blocks.${cell.layer}.hook_resid_post`;
      return { cached: cache.get(name), batch: pairs.indexOf(cell.pair), positions: cell.positions };
    },
    release: () => cache.release(),
  };
}

function isModule({ hook, head }: Cell): boolean {
  return head === undefined && /^language\.blocks\.\d+\.(hook_mlp_out|attn\.hook_z)$/.test(hook);
}
