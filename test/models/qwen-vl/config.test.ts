import { describe, expect, test } from 'vitest';
import { parseQwenConfig, type QwenKind } from '../../../src/models/qwen-vl/config.ts';

/** What the hub's files say, shortened to what a reader needs. */
const QWEN2 = {
  eos_token_id: 151645,
  hidden_act: 'silu',
  ...{ hidden_size: 1536, intermediate_size: 8960, num_attention_heads: 12, num_hidden_layers: 28 },
  ...{ num_key_value_heads: 2, max_position_embeddings: 32768, rms_norm_eps: 1e-6, vocab_size: 151936 },
  rope_theta: 1e6,
  tie_word_embeddings: true,
  vision_config: { depth: 32, embed_dim: 1280, mlp_ratio: 4, num_heads: 16, in_chans: 3, hidden_size: 1536 },
  rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
};
const QWEN25 = {
  ...QWEN2,
  ...{ hidden_size: 2048, intermediate_size: 11008, num_attention_heads: 16, num_hidden_layers: 36 },
  vision_config: {
    ...{ depth: 32, hidden_act: 'silu', hidden_size: 1280, intermediate_size: 3420, num_heads: 16 },
    ...{ out_hidden_size: 2048, patch_size: 14, window_size: 112, fullatt_block_indexes: [7, 15, 23, 31] },
  },
};
const QWEN3 = {
  text_config: {
    ...{ head_dim: 128, hidden_size: 2560, intermediate_size: 9728, num_attention_heads: 32 },
    ...{ num_hidden_layers: 36, num_key_value_heads: 8, max_position_embeddings: 262144 },
    ...{ rms_norm_eps: 1e-6, rope_theta: 5e6, eos_token_id: 151645, vocab_size: 151936 },
    rope_scaling: { mrope_interleaved: true, mrope_section: [24, 20, 20], rope_type: 'default' },
  },
  tie_word_embeddings: true,
  vision_config: {
    ...{ depth: 24, hidden_size: 1024, intermediate_size: 4096, num_heads: 16, out_hidden_size: 2560 },
    deepstack_visual_indexes: [5, 11, 17],
  },
};

describe('the files of the hub', () => {
  test('Qwen2-VL-2B', () => {
    const { vision, language, stopTokens, imageToken } = parseQwenConfig('qwen2_vl', QWEN2);
    expect(vision).toMatchObject({
      patchSize: 14,
      patchValues: 1176,
      merge: 2,
      window: undefined,
      deepstack: [],
    });
    expect(vision.tower).toMatchObject({
      width: 1280,
      headSize: 80,
      mlpWidth: 5120,
      activation: 'quick_gelu',
    });
    expect(language.tower).toMatchObject({ width: 1536, heads: 12, keyHeads: 2, headSize: 128 });
    expect(language.tower.rotary).toEqual({ theta: 1e6, by: { sections: [16, 24, 24], interleaved: false } });
    expect(language).toMatchObject({ tiedHead: true, eps: 1e-6, maxPositions: 32768 });
    expect(language.biases).toEqual({ queryKeyValue: true, output: false, mlp: false });
    expect({ stopTokens, imageToken }).toEqual({ stopTokens: [151645], imageToken: 151655 });
  });

  test('Qwen2.5-VL-3B', () => {
    const { vision, language } = parseQwenConfig('qwen2_5_vl', QWEN25);
    expect(vision).toMatchObject({ window: 4, fullBlocks: [7, 15, 23, 31], positions: undefined });
    expect(vision.tower).toMatchObject({ width: 1280, mlpWidth: 3420, activation: 'silu', heads: 16 });
    expect(language.tower).toMatchObject({ width: 2048, layers: 36 });
  });

  test('Qwen3-VL-4B', () => {
    const { vision, language } = parseQwenConfig('qwen3_vl', QWEN3);
    expect(vision).toMatchObject({ patchSize: 16, patchValues: 1536, positions: 48, deepstack: [5, 11, 17] });
    expect(vision.tower).toMatchObject({ activation: 'gelu_pytorch_tanh', headSize: 64 });
    expect(language.tower).toMatchObject({ headSize: 128, heads: 32, width: 2560 });
    expect(language.tower.rotary).toEqual({ theta: 5e6, by: { sections: [24, 20, 20], interleaved: true } });
    expect(language).toMatchObject({ tiedHead: true, headNorms: true });
    expect(language.biases).toEqual({ queryKeyValue: false, output: false, mlp: false });
  });
});

test("transformers' later files have the text's settings in text_config and the angle's in rope_parameters", () => {
  const { vision_config, tie_word_embeddings, rope_scaling, rope_theta, ...text } = QWEN25;
  const later = {
    vision_config: { ...vision_config, model_type: 'qwen2_5_vl' },
    text_config: {
      ...{ ...text, tie_word_embeddings, model_type: 'qwen2_5_vl_text' },
      rope_parameters: { rope_type: 'default', mrope_section: rope_scaling.mrope_section, rope_theta },
    },
  };
  expect(parseQwenConfig('qwen2_5_vl', later)).toEqual(parseQwenConfig('qwen2_5_vl', QWEN25));
});

test('transformers 4.57 writes the settings of the text in both places, tied heads in one', () => {
  const { tie_word_embeddings, rope_scaling, ...rest } = QWEN2;
  const scaling = { ...rope_scaling, rope_type: 'default', type: 'default' };
  const file = {
    ...{ ...rest, model_type: 'qwen2_vl', rope_scaling: scaling },
    text_config: { ...rest, tie_word_embeddings, model_type: 'qwen2_vl_text', rope_scaling: scaling },
    vision_config: { ...rest.vision_config, model_type: 'qwen2_vl', in_channels: 3 },
  };
  expect(parseQwenConfig('qwen2_vl', file)).toEqual(parseQwenConfig('qwen2_vl', QWEN2));
});

test('defaults are those of the classes', () => {
  const text = { hidden_size: 3584, num_attention_heads: 28, num_key_value_heads: 4 };
  const { vision, language } = parseQwenConfig('qwen2_5_vl', text);
  expect(vision).toMatchObject({ window: 4, fullBlocks: [7, 15, 23, 31], patchSize: 14 });
  expect(vision.tower).toMatchObject({ layers: 32, width: 3584, mlpWidth: 3420 });
  expect(language).toMatchObject({ eps: 1e-5, vocabulary: 152064, maxPositions: 32768, tiedHead: false });
  expect(language.tower).toMatchObject({ layers: 80, mlpWidth: 29568 });
});

test("generation_config.json's stop tokens go first", () => {
  const { stopTokens } = parseQwenConfig('qwen2_vl', QWEN2, { eos_token_id: [151645, 151643] });
  expect(stopTokens).toEqual([151645, 151643]);
});

describe('what is not supported is named', () => {
  const scaling = { type: 'yarn', factor: 4, mrope_section: [16, 24, 24] };
  const text3 = QWEN3.text_config;
  test.each<[QwenKind, object, RegExp]>([
    [
      'qwen2_5_vl',
      { ...QWEN25, rope_scaling: scaling },
      /rope_scaling: "type" should be one of default, mrope, found "yarn"/,
    ],
    [
      'qwen2_5_vl',
      { ...QWEN25, rope_scaling: { mrope_section: [16, 24] } },
      /three sizes that add up to 64, found 16, 24/,
    ],
    [
      'qwen2_vl',
      { ...QWEN2, rope_scaling: { mrope_section: [16, 24, 23] } },
      /three sizes that add up to 64/,
    ],
    [
      'qwen2_vl',
      { ...QWEN2, rope_scaling: { mrope_section: 'all' } },
      /"mrope_section" should be a list of positive integers/,
    ],
    ['qwen2_vl', { ...QWEN2, use_sliding_window: true }, /"use_sliding_window" is true/],
    [
      'qwen2_5_vl',
      { ...QWEN25, hidden_size: 1024, head_dim: 128 },
      /width of 2048, the language model reads 1024/,
    ],
    [
      'qwen3_vl',
      { ...QWEN3, text_config: { ...text3, model_type: 'qwen3_vl_moe_text' } },
      /"model_type" should be one of qwen3_vl_text/,
    ],
    [
      'qwen3_vl',
      {
        ...QWEN3,
        text_config: { ...text3, rope_scaling: { mrope_interleaved: false, mrope_section: [24, 20, 20] } },
      },
      /"mrope_interleaved" should be true/,
    ],
    [
      'qwen3_vl',
      { ...QWEN3, vision_config: { ...QWEN3.vision_config, deepstack_visual_indexes: [11, 5] } },
      /"deepstack_visual_indexes" 11, 5 should be blocks of 24 in ascending order/,
    ],
    [
      'qwen3_vl',
      { ...QWEN3, vision_config: { ...QWEN3.vision_config, deepstack_visual_indexes: [24] } },
      /should be blocks of 24/,
    ],
    [
      'qwen3_vl',
      { ...QWEN3, vision_config: { ...QWEN3.vision_config, num_position_embeddings: 2303 } },
      /2303 is not a square/,
    ],
    [
      'qwen2_5_vl',
      { ...QWEN25, vision_config: { ...QWEN25.vision_config, window_size: 27 } },
      /"window_size" 27 is smaller than a feature's 28 pixels/,
    ],
    [
      'qwen2_5_vl',
      { ...QWEN25, vision_config: { ...QWEN25.vision_config, num_heads: 128 } },
      /width 1280 is not divided among 128 heads/,
    ],
  ])('%s %#', (kind, config, message) => {
    expect(() => parseQwenConfig(kind, config)).toThrow(message);
  });
});
