// Vision transformers on square images or tiles: patches and perhaps a class token, each with its position, and a norm behind
// or before the blocks. BLIP's, CLIP's and SigLIP's differ in names and defaults.

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
  /** Whether a token of the whole image stands before its patches. */
  readonly classToken: boolean;
  /** Whether pictures come in tiles: shapes at hook points then begin with the tile, even if there is one. */
  readonly tiled?: boolean;
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
  /** Default true. */
  readonly classToken?: boolean;
  /** Default 1e-5. */
  readonly eps?: number;
}

/** Where a kind of vision transformer keeps its modules, by their paths inside it. */
export interface VitNames {
  readonly block: BlockNames;
  /** The positions' tensor. */
  readonly positions: string;
  readonly norm: string;
  /** Whether that norm stands before the blocks, not behind them. */
  readonly normFirst?: boolean;
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
  normFirst: true,
  patchBias: false,
};

export const SIGLIP: VitNames = { ...CLIP, norm: 'post_layernorm', normFirst: false, patchBias: true };

/** What the configurations of SigLIP's vision tower in transformers have in common: SiglipVisionConfig's defaults. */
export const SIGLIP_DEFAULTS: VitDefaults = {
  ...{ width: 768, mlp: 3072, layers: 12, heads: 12, image: 224, patch: 16 },
  activation: 'gelu_pytorch_tanh',
  classToken: false,
  eps: 1e-6,
};

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** @throws NoticeError('config') naming the field */
export function readVit(section: JsonConfig, defaults: VitDefaults): VitSettings {
  const imageSize = section.size('image_size', defaults.image);
  const patchSize = section.size('patch_size', defaults.patch);
  if (imageSize < patchSize) section.fail(`image_size ${imageSize} is less than a patch of ${patchSize}`);
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
    classToken: defaults.classToken ?? true,
    eps: section.eps('layer_norm_eps', defaults.eps ?? 1e-5),
  };
}

/** Patches in a row of an image or tile; what is left at its right and bottom belongs to none. */
export function patchSide({ imageSize, patchSize }: VitSettings): number {
  return Math.floor(imageSize / patchSize);
}

/** For each of side × side features, row by row, the patches of its block of scale × scale, row by row. */
export function blocksOfPatches(side: number, scale: number): number[][] {
  const patches = side * scale;
  return Array.from({ length: side ** 2 }, (_, feature) => {
    const [row, column] = [Math.floor(feature / side) * scale, (feature % side) * scale];
    return Array.from(
      { length: scale ** 2 },
      (_, i) => (row + Math.floor(i / scale)) * patches + column + (i % scale),
    );
  });
}

/** Positions of an image or tile. */
export function vitPositions(settings: VitSettings): number {
  return patchSide(settings) ** 2 + Number(settings.classToken);
}

export interface VitWeights {
  readonly patches: Linear;
  readonly classToken: Vector | undefined;
  readonly positions: Weight;
  readonly norm: NormWeights;
  readonly blocks: readonly BlockWeights[];
}

/** @param prefix path of the module, with its dot */
export async function loadVit(
  loader: WeightLoader,
  prefix: string,
  settings: VitSettings,
  names: VitNames,
): Promise<VitWeights> {
  const { tower, patchSize, eps } = settings;
  const { width } = tower;
  const embeddings = `${prefix}embeddings`;
  const bias = names.patchBias;
  return {
    patches: await convolution(loader, `${embeddings}.patch_embedding`, width, 3 * patchSize ** 2, { bias }),
    classToken: settings.classToken ? await loader.vector(`${embeddings}.class_embedding`, width) : undefined,
    positions: await loader.matrix(prefix + names.positions, {
      rows: vitPositions(settings),
      columns: width,
    }),
    norm: await layerNorm(loader, prefix + names.norm, width, eps),
    blocks: await loadBlocks(loader, blocksOf(tower, prefix, names), { eps }),
  };
}

/** Hook points that {@link walkVit} passes: embeddings, blocks, and the norm behind them. */
export function vitHooks(settings: VitSettings, prefix: string, names: VitNames): HookInfo[] {
  const { tower, tiled } = settings;
  const shape = [...(tiled ? ['tile'] : []), 'position', tower.width];
  const norm = { name: 'vision.hook_out', shape, module: `${prefix}${names.norm} of all positions` };
  return [...vitBlockHooks(settings, prefix, names), norm];
}

/** Hook points of the embeddings and the blocks. */
export function vitBlockHooks({ tower, tiled }: VitSettings, prefix: string, names: VitNames): HookInfo[] {
  const hooks: HookInfo[] = [
    { name: 'vision.hook_embed', shape: ['position', tower.width], module: `${prefix}embeddings` },
    ...blockHooks(blocksOf(tower, prefix, names)),
  ];
  return tiled ? hooks.map((hook) => ({ ...hook, shape: ['tile', ...hook.shape] })) : hooks;
}

function blocksOf(config: TowerConfig, prefix: string, { block }: VitNames) {
  return { config, path: (layer: number) => `${prefix}encoder.layers.${layer}`, names: block };
}

/**
 * From images to the output of a tower with its norm behind the blocks (BLIP, SigLIP): [rows, width], passing `vision.hook_embed` and
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
  const tiles = visionRuns(runs, weights.positions.rows, settings.tiled);
  const frame = { x: embedImages(w, probe, tiles, { ...settings, ...weights }) };
  const walk: Walk = { w, probe, runs: sequencesIn(runs, 'vision') };
  await passPoint(walk, 'vision.hook_embed', frame, 'x');
  frame.x = await tower.walk(walk, frame.x);
  const out = { x: normalize(w, frame.x, weights.norm) };
  w.release(frame.x);
  await passPoint(walk, 'vision.hook_out', out, 'x');
  return out.x;
}
