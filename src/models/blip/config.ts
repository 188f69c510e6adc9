// config.json of BlipForQuestionAnswering. Defaults are those of transformers' BlipConfig, BlipVisionConfig and
// BlipTextConfig: a file may leave them out.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig } from '../json-config.ts';
import type { TowerConfig } from '../tower/index.ts';

export interface BlipConfig {
  readonly vision: TowerConfig;
  readonly textEncoder: TowerConfig;
  readonly textDecoder: TowerConfig;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly visionEps: number;
  readonly textEps: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** The decoder's first token, [DEC]. */
  readonly startToken: number;
  /** The token that ends an answer, [SEP]. */
  readonly endToken: number;
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'quick_gelu'];

export function parseBlipConfig(json: unknown): BlipConfig {
  const config = new JsonConfig(json, 'config.json');
  const vision = config.section('vision_config');
  const text = config.section('text_config');
  const textTower = {
    ...tower(text, { width: 768, layers: 12, heads: 8, mlp: 3072, activation: 'gelu' }),
    norm: 'after',
  } as const;
  const imageSize = vision.size('image_size', 384);
  const patchSize = vision.size('patch_size', 16);
  if (imageSize % patchSize !== 0)
    vision.fail(`image_size ${imageSize} is not a multiple of patch_size ${patchSize}`);
  return {
    vision: {
      ...tower(vision, { width: 768, layers: 12, heads: 12, mlp: 3072, activation: 'gelu' }),
      name: 'vision',
      norm: 'before',
      causal: false,
    },
    textEncoder: { ...textTower, name: 'text_encoder', causal: false },
    textDecoder: { ...textTower, name: 'text_decoder', causal: true },
    imageSize,
    patchSize,
    visionEps: vision.eps('layer_norm_eps', 1e-5),
    textEps: text.eps('layer_norm_eps', 1e-12),
    vocabulary: text.size('vocab_size', 30524),
    maxPositions: text.size('max_position_embeddings', 512),
    startToken: text.token('bos_token_id', 30522),
    endToken: text.token('sep_token_id', 102),
  };
}

function tower(
  section: JsonConfig,
  defaults: { width: number; layers: number; heads: number; mlp: number; activation: Activation },
): Omit<TowerConfig, 'name' | 'norm' | 'causal'> {
  const width = section.size('hidden_size', defaults.width);
  const heads = section.size('num_attention_heads', defaults.heads);
  if (width % heads !== 0) section.fail(`hidden_size ${width} is not a multiple of ${heads} attention heads`);
  return {
    layers: section.layers('num_hidden_layers', defaults.layers),
    width,
    heads,
    keyHeads: heads,
    headSize: width / heads,
    mlpWidth: section.size('intermediate_size', defaults.mlp),
    activation: section.choice('hidden_act', ACTIVATIONS, defaults.activation),
    rotary: undefined,
  };
}
