// The UNet's transformers on maps, diffusers' Transformer2DModel: a group norm, a projection, a block of the one transformer
// of this library with cross-attention to the text, a projection back.

import type { Tensor } from '../../gpu/index.ts';
import {
  add,
  type FeatureMaps,
  type GroupNormWeights,
  matmul,
  normalizeGroups,
} from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import { type BlockNames, type BlockPlace, blockHooks, loadBlocks } from '../parts/block.ts';
import { type Linear, type Memory, Tower, type TowerConfig } from '../tower/index.ts';
import { linear } from '../weight-maps.ts';
import { loadGroupNorm, type MapWalk, passMaps, pixelsOf } from './maps.ts';

/** Fixed in diffusers, whatever the other norms' is. */
const NORM_EPS = 1e-6;
const LAYER_NORM_EPS = 1e-5;

/** GEGLU's projection is one tensor: the value's rows, then those that go through the activation. */
const GEGLU = 'ff.net.0.proj';
const [VALUE, GATE] = [`${GEGLU}.value`, `${GEGLU}.gate`];

const BLOCK: BlockNames = {
  attention: {
    queryKeyValue: ['attn1.to_q', 'attn1.to_k', 'attn1.to_v'],
    output: 'attn1.to_out.0',
    norm: 'norm1',
  },
  cross: {
    queryKeyValue: ['attn2.to_q', 'attn2.to_k', 'attn2.to_v'],
    output: 'attn2.to_out.0',
    norm: 'norm2',
  },
  mlp: { input: GATE, linear: VALUE, output: 'ff.net.2', norm: 'norm3', whole: 'ff' },
};

export interface TransformerSize {
  /** Of its tower's hook points. */
  readonly name: string;
  readonly channels: number;
  readonly heads: number;
  readonly groups: number;
  readonly textWidth: number;
}

/** Settings of its block. */
export function transformerConfig({ name, channels, heads }: TransformerSize): TowerConfig {
  return {
    name,
    layers: 1,
    width: channels,
    heads,
    keyHeads: heads,
    headSize: channels / heads,
    mlpWidth: 4 * channels,
    activation: 'gelu',
    norm: 'before',
    causal: false,
    rotary: undefined,
  };
}

function placeOf(config: TowerConfig, path: string): BlockPlace {
  return { config, path: (layer) => `${path}.transformer_blocks.${layer}`, names: BLOCK };
}

/** Hook points, beside the paths of diffusers' modules. */
export function transformerHooks(size: TransformerSize, path: string): HookInfo[] {
  const { name, channels } = size;
  const shape = ['position', channels];
  return [
    { name: `${name}.hook_norm`, shape, module: `${path}.norm` },
    { name: `${name}.hook_proj_in`, shape, module: `${path}.proj_in` },
    ...blockHooks(placeOf(transformerConfig(size), path)),
    { name: `${name}.hook_proj_out`, shape, module: `${path}.proj_out` },
    { name: `${name}.hook_out`, shape, module: path },
  ];
}

export interface Transformer {
  readonly norm: GroupNormWeights;
  readonly input: Linear;
  readonly tower: Tower;
  readonly output: Linear;
}

export async function loadTransformer(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  path: string,
  size: TransformerSize,
): Promise<Transformer> {
  const { channels, textWidth } = size;
  const config = transformerConfig(size);
  const block = `${path}.transformer_blocks.0`;
  for (const parameter of ['weight', 'bias'])
    checkpoint.split(`${block}.${GEGLU}.${parameter}`, [
      `${block}.${VALUE}.${parameter}`,
      `${block}.${GATE}.${parameter}`,
    ]);
  return {
    norm: await loadGroupNorm(loader, `${path}.norm`, channels, { groups: size.groups, eps: NORM_EPS }),
    input: await linear(loader, `${path}.proj_in`, channels, channels),
    tower: new Tower(
      config,
      await loadBlocks(loader, placeOf(config, path), {
        eps: LAYER_NORM_EPS,
        biases: { queryKeyValue: false, output: true, mlp: true },
        memoryWidth: textWidth,
      }),
    ),
    output: await linear(loader, `${path}.proj_out`, channels, channels),
  };
}

/** What the runs' pixels attend to: the text encoder's output, and the keys and values that each transformer makes of it. */
export interface Texts {
  readonly tensor: Tensor;
  readonly keyValues: Map<string, NonNullable<Memory['keyValues']>>;
}

/**
 * x + proj_out(block(proj_in(norm(x)))).
 *
 * @returns new maps; x is released
 */
export async function attendMaps(
  walk: MapWalk,
  maps: FeatureMaps,
  { norm, input, tower, output }: Transformer,
  { tensor, keyValues }: Texts,
): Promise<FeatureMaps> {
  const { w, probe, runs } = walk;
  const { name } = tower.config;
  const normal = normalizeGroups(w, maps, norm);
  await passMaps(walk, name, 'hook_norm', { ...maps, x: normal });
  const projected = matmul(w, normal, input.weight, { bias: input.bias });
  w.release(normal);
  await passMaps(walk, name, 'hook_proj_in', { ...maps, x: projected });
  const own = keyValues.get(name) ?? new Map<number, Tensor>();
  keyValues.set(name, own);
  const memory = { tensor, keyValues: own };
  const stream = await tower.walk({ w, probe, runs: pixelsOf(runs, name, maps), memory }, projected);
  let x: Tensor;
  if (probe.wants(`${name}.hook_proj_out`)) {
    const added = matmul(w, stream, output.weight, { bias: output.bias });
    await passMaps(walk, name, 'hook_proj_out', { ...maps, x: added });
    x = add(w, added, maps.x);
    w.release(added);
  } else x = matmul(w, stream, output.weight, { bias: output.bias, residual: maps.x });
  w.release(stream, maps.x);
  const out = { ...maps, x };
  await passMaps(walk, name, 'hook_out', out);
  return out;
}
