import { JsonConfig } from '../../../src/models/json-config.ts';
import type { TowerConfig } from '../../../src/models/tower/index.ts';

export interface FrescoConfig {
  readonly vision: TowerConfig;
  readonly language: TowerConfig;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly eps: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly stopTokens: readonly number[];
}

export function parseFrescoConfig(json: unknown): FrescoConfig {
  const config = new JsonConfig(json, 'config.json');
  const vision = config.section('vision_config');
  const text = config.section('text_config');
  return {
    vision: {
      ...sizes(vision),
      name: 'vision',
      activation: 'gelu',
      norm: 'before',
      causal: false,
      rotary: undefined,
    },
    language: {
      ...sizes(text),
      name: 'language',
      activation: 'silu',
      norm: 'before',
      causal: true,
      rotary: { theta: text.positive('rope_theta', 10000) },
    },
    imageSize: vision.size('image_size'),
    patchSize: vision.size('patch_size'),
    eps: config.eps('eps', 1e-5),
    vocabulary: text.size('vocab_size'),
    maxPositions: text.size('max_position_embeddings', 64),
    stopTokens: config.tokens('eos_token_id', [2]),
  };
}

function sizes(section: JsonConfig) {
  const heads = section.size('heads');
  return {
    layers: section.size('layers'),
    width: section.size('width'),
    heads,
    keyHeads: section.size('key_heads', heads),
    headSize: section.size('head_size'),
    mlpWidth: section.size('mlp_width'),
  };
}
