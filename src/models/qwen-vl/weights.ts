// Where Qwen2-VL, Qwen2.5-VL and Qwen3-VL keep their parameters, and the modules beside which their hook points stand.

import type { NormWeights, Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type BlockNames, type BlockPlace, loadBlocks } from '../parts/block.ts';
import { type LlamaWeights, loadLlama } from '../parts/llama.ts';
import type { ProjectorWeights } from '../parts/projector.ts';
import type { BlockWeights, Linear } from '../tower/index.ts';
import { convolution, layerNorm, linear, prefixOf, rmsNorm } from '../weight-maps.ts';
import type { QwenConfig, QwenKind, QwenVision } from './config.ts';

/** Modules that differ in name, and what kind of norm there is. */
export interface QwenNames {
  readonly block: BlockNames;
  readonly rms: boolean;
  readonly patchBias: boolean;
  readonly merger: { readonly norm: string; readonly input: string; readonly output: string };
}

const ATTENTION = { queryKeyValue: 'attn.qkv', output: 'attn.proj', norm: 'norm1' };
const MERGER2 = { norm: 'ln_q', input: 'mlp.0', output: 'mlp.2' };

export const NAMES: Readonly<Record<QwenKind, QwenNames>> = {
  qwen2_vl: {
    block: {
      attention: ATTENTION,
      mlp: { input: 'mlp.fc1', output: 'mlp.fc2', norm: 'norm2', whole: 'mlp' },
    },
    merger: MERGER2,
    rms: false,
    patchBias: false,
  },
  qwen2_5_vl: {
    block: {
      attention: ATTENTION,
      mlp: {
        ...{ input: 'mlp.gate_proj', linear: 'mlp.up_proj', output: 'mlp.down_proj' },
        ...{ norm: 'norm2', whole: 'mlp' },
      },
    },
    merger: MERGER2,
    rms: true,
    patchBias: false,
  },
  qwen3_vl: {
    block: {
      attention: ATTENTION,
      mlp: { input: 'mlp.linear_fc1', output: 'mlp.linear_fc2', norm: 'norm2', whole: 'mlp' },
    },
    merger: { norm: 'norm', input: 'linear_fc1', output: 'linear_fc2' },
    rms: false,
    patchBias: true,
  },
};

/** A norm, then a block of patches as one row through two layers. */
export interface Merger extends ProjectorWeights {
  readonly norm: NormWeights;
}

export interface QwenWeights {
  readonly patches: Linear;
  readonly positions: Weight | undefined;
  readonly blocks: readonly BlockWeights[];
  readonly merger: Merger;
  readonly deepstack: readonly Merger[];
  readonly language: LlamaWeights;
}

/** The vision tower's blocks behind a path. */
export function visionBlocks(kind: QwenKind, { tower }: QwenVision, prefix: string): BlockPlace {
  return { config: tower, path: (layer) => `${prefix}blocks.${layer}`, names: NAMES[kind].block };
}

/**
 * Paths are found by tensors that must be there: `visual.…` and `model.…` on the hub (2, 2.5) and in transformers 5,
 * `model.visual.…` and `model.language_model.…` in between, and for 3 always.
 *
 * @throws WeightsError
 */
export async function loadQwenWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { kind, vision, language }: QwenConfig,
): Promise<QwenWeights> {
  const { rms, patchBias, merger: names } = NAMES[kind];
  const { tower, eps, merge, positions, deepstack, patchValues } = vision;
  const { width } = tower;
  const prefix = prefixOf(checkpoint, 'patch_embed.proj.weight');
  const merged = merge ** 2 * width;
  /** @param normalized width of what is normalised: a patch, or a whole block of them */
  const merger = async (path: string, normalized: number): Promise<Merger> => ({
    norm: await (rms ? rmsNorm : layerNorm)(loader, `${path}.${names.norm}`, normalized, eps),
    input: await linear(loader, `${path}.${names.input}`, merged, merged),
    output: await linear(loader, `${path}.${names.output}`, language.tower.width, merged),
  });
  const patches = await convolution(loader, `${prefix}patch_embed.proj`, width, patchValues, {
    bias: patchBias,
  });
  const table = { rows: (positions ?? 0) ** 2, columns: width };
  const mergers: Merger[] = [];
  for (const j of deepstack.keys()) mergers.push(await merger(`${prefix}deepstack_merger_list.${j}`, merged));
  return {
    patches,
    positions: positions === undefined ? undefined : await loader.matrix(`${prefix}pos_embed.weight`, table),
    blocks: await loadBlocks(loader, visionBlocks(kind, vision, prefix), { eps, rms }),
    merger: await merger(`${prefix}merger`, width),
    deepstack: mergers,
    language: await loadLlama(loader, checkpoint, language),
  };
}
