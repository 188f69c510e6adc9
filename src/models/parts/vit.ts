// Vision transformers on square images: patches and a class token, each with its position, and a norm behind or before the
// blocks. BLIP's and CLIP's differ in names and defaults.

import type { Tensor, Work } from '../../gpu/index.ts';
import {
  type Activation,
  type NormWeights,
  normalize,
  type Vector,
  type Weight,
} from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { JsonConfig } from '../json-config.ts';
import type { ModelRun } from '../model.ts';
import { sequencesIn } from '../sequences.ts';
import {
  type BlockWeights,
  type Linear,
  type Probe,
  passPoint,
  type Tower,
  type TowerConfig,
  type Walk,
} from '../tower/index.ts';
import { embedImages, visionRuns } from '../vision.ts';
import { convolution, layerNorm } from '../weight-maps.ts';
import { type BlockNames, blockHooks, loadBlocks } from './block.ts';
import { headSizes } from './sizes.ts';

export interface VitSettings {
  readonly tower: TowerConfig;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly eps: number;
}

export interface VitDefaults {
  readonly width: number;
  readonly mlp: number;
  readonly layers: number;
  readonly heads: number;
  readonly image: number;
  readonly patch: number;
  readonly activation: Activation;
  /** Default 1e-5. */
  readonly eps?: number;
}

/** Where a kind of vision transformer keeps its modules, by their paths inside it. */
export interface VitNames {
  readonly block: BlockNames;
  /** The positions' tensor. */
  readonly positions: string;
  readonly norm: string;
  readonly patchBias: boolean;
}

export const BLIP_VIT: VitNames = {
  block: {
    attention: {
      queryKeyValue: 'self_attn.qkv',
      output: 'self_attn.projection',
      norm: 'layer_norm1',
    },
    mlp: { input: 'mlp.fc1', output: 'mlp.fc2', norm: 'layer_norm2', whole: 'mlp' },
  },
  positions: 'embeddings.position_embedding',
  norm: 'post_layernorm',
  patchBias: true,
};

export const CLIP: VitNames = {
  block: {
    ...BLIP_VIT.block,
    attention: {
      queryKeyValue: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
      output: 'self_attn.out_proj',
      norm: 'layer_norm1',
    },
  },
  positions: 'embeddings.position_embedding.weight',
  norm: 'pre_layrnorm',
  patchBias: false,
};

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** @throws NoticeError('config') naming the field */
export function readVit(section: JsonConfig, defaults: VitDefaults): VitSettings {
  const imageSize = section.size('image_size', defaults.image);
  const patchSize = section.size('patch_size', defaults.patch);
  if (imageSize % patchSize !== 0)
    section.fail(`image_size ${imageSize} is not a multiple of patch_size ${patchSize}`);
  return {
    tower: {
      name: 'vision',
      layers: section.layers('num_hidden_layers', defaults.layers),
      ...headSizes(section, defaults),
      mlpWidth: section.size('intermediate_size', defaults.mlp),
      activation: section.choice('hidden_act', ACTIVATIONS, defaults.activation),
      norm: 'before',
      causal: false,
      rotary: undefined,
    },
    imageSize,
    patchSize,
    eps: section.eps('layer_norm_eps', defaults.eps ?? 1e-5),
  };
}

export interface VitWeights {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly norm: NormWeights;
  readonly blocks: readonly BlockWeights[];
}

/** @param prefix path of the module, with its dot */
export async function loadVit(
  loader: WeightLoader,
  prefix: string,
  { tower, imageSize, patchSize, eps }: VitSettings,
  names: VitNames,
): Promise<VitWeights> {
  const { width } = tower;
  const embeddings = `${prefix}embeddings`;
  const bias = names.patchBias;
  return {
    patches: await convolution(loader, `${embeddings}.patch_embedding`, width, 3 * patchSize ** 2, { bias }),
    classToken: await loader.vector(`${embeddings}.class_embedding`, width),
    positions: await loader.matrix(prefix + names.positions, {
      rows: (imageSize / patchSize) ** 2 + 1,
      columns: width,
    }),
    norm: await layerNorm(loader, prefix + names.norm, width, eps),
    blocks: await loadBlocks(loader, blocksOf(tower, prefix, names), { eps }),
  };
}

/** Hook points of the embeddings and the blocks. */
export function vitHooks({ tower }: VitSettings, prefix: string, names: VitNames): HookInfo[] {
  return [
    { name: 'vision.hook_embed', shape: ['position', tower.width], module: `${prefix}embeddings` },
    ...blockHooks(blocksOf(tower, prefix, names)),
  ];
}

function blocksOf(config: TowerConfig, prefix: string, { block }: VitNames) {
  return { config, path: (layer: number) => `${prefix}encoder.layers.${layer}`, names: block };
}

/**
 * From images to the output of a tower with its norm behind the blocks (BLIP): [rows, width], passing `vision.hook_embed` and
 * `vision.hook_out`.
 */
export async function walkVit(
  w: Work,
  tower: Tower,
  settings: VitSettings,
  weights: VitWeights,
  runs: readonly ModelRun[],
  probe: Probe,
): Promise<Tensor> {
  const images = visionRuns(runs, weights.positions.rows);
  const frame = { x: embedImages(w, images, { ...weights, ...settings }) };
  const walk: Walk = { w, probe, runs: sequencesIn(runs, 'vision') };
  await passPoint(walk, 'vision.hook_embed', frame, 'x');
  frame.x = await tower.walk(walk, frame.x);
  const out = { x: normalize(w, frame.x, weights.norm) };
  w.release(frame.x);
  await passPoint(walk, 'vision.hook_out', out, 'x');
  return out.x;
}
