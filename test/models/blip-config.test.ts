import { describe, expect, test } from 'vitest';
import { parseBlipConfig } from '../../src/models/blip/config.ts';

/** BlipTextConfig(). */
const TEXT = {
  tower: {
    layers: 12,
    width: 768,
    heads: 8,
    keyHeads: 8,
    headSize: 96,
    mlpWidth: 3072,
    activation: 'gelu',
    norm: 'after',
    rotary: undefined,
  },
  eps: 1e-12,
  vocabulary: 30524,
  maxPositions: 512,
};

test('defaults of transformers: BlipVisionConfig(), BlipTextConfig()', () => {
  expect(parseBlipConfig({})).toEqual({
    vision: {
      tower: {
        name: 'vision',
        layers: 12,
        width: 768,
        heads: 12,
        keyHeads: 12,
        headSize: 64,
        mlpWidth: 3072,
        activation: 'gelu',
        norm: 'before',
        causal: false,
        rotary: undefined,
      },
      imageSize: 384,
      patchSize: 16,
      classToken: true,
      eps: 1e-5,
    },
    encoder: { ...TEXT, tower: { ...TEXT.tower, name: 'text_encoder', causal: false } },
    decoder: { ...TEXT, tower: { ...TEXT.tower, name: 'text_decoder', causal: true } },
    startToken: 30522,
    endToken: 102,
  });
});

describe('every setting is read from its own section', () => {
  const sizes = { hidden_size: 48, num_attention_heads: 3, num_hidden_layers: 5, intermediate_size: 20 };
  const read = { layers: 5, width: 48, heads: 3, headSize: 16, mlpWidth: 20, activation: 'quick_gelu' };

  test('text_config: both text towers', () => {
    const text_config = {
      ...sizes,
      ...{ hidden_act: 'quick_gelu', layer_norm_eps: 1e-6, vocab_size: 77, max_position_embeddings: 33 },
      ...{ bos_token_id: 7, sep_token_id: 8 },
    };
    const { vision, encoder, decoder, startToken, endToken } = parseBlipConfig({ text_config });
    for (const tower of [encoder, decoder])
      expect(tower).toMatchObject({ tower: read, eps: 1e-6, vocabulary: 77, maxPositions: 33 });
    expect([startToken, endToken]).toEqual([7, 8]);
    expect(vision).toEqual(parseBlipConfig({}).vision);
  });

  test('vision_config: the vision tower', () => {
    const vision_config = {
      ...sizes,
      ...{ hidden_act: 'quick_gelu', layer_norm_eps: 1e-6, image_size: 64, patch_size: 32 },
    };
    const { vision, ...others } = parseBlipConfig({ vision_config });
    expect(vision).toMatchObject({ tower: read, eps: 1e-6, imageSize: 64, patchSize: 32 });
    const { vision: _, ...defaults } = parseBlipConfig({});
    expect(others).toEqual(defaults);
  });
});
