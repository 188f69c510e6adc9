export interface FrescoConfig {
  readonly vision: VitSettings;
  readonly language: LlamaSettings;
}

import { JsonConfig, type LlamaSettings, type VitSettings } from '../../../src/families.ts';
export function parseFrescoConfig(json: unknown): FrescoConfig {
  const config = new JsonConfig(json, 'config.json');
  const vision = config.section('vision_config');
  const text = config.section('text_config');
  const eps = config.eps('eps', 1e-5);
  const shared = { norm: 'before' } as const;
  return {
    vision: {
      tower: {
        ...{ ...shared, ...sizes(vision), name: 'vision', activation: 'gelu', causal: false },
        rotary: undefined,
      },
      imageSize: vision.size('image_size'),
      patchSize: vision.size('patch_size'),
      classToken: true,
      eps,
    },
    language: {
      tower: {
        ...{ ...shared, ...sizes(text), name: 'language', activation: 'silu', causal: true },
        rotary: { theta: text.positive('rope_theta', 10000) },
      },
      eps,
      biases: { queryKeyValue: false, output: false, mlp: false },
      vocabulary: text.size('vocab_size'),
      maxPositions: text.size('max_position_embeddings', 64),
      tiedHead: true,
      stopTokens: config.tokens('eos_token_id', [2]),
    },
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
