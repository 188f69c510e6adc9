import { describe, expect, test } from 'vitest';
import { parseLlavaConfig } from '../../src/models/llava/config.ts';
import { CLIP } from '../../src/models/parts/vit.ts';

describe('defaults of transformers', () => {
  test('nothing given: CLIP ViT-L/14 at 336 pixels and LlamaConfig()', () => {
    expect(parseLlavaConfig({})).toEqual({
      vision: {
        tower: {
          name: 'vision',
          layers: 24,
          width: 1024,
          heads: 16,
          keyHeads: 16,
          headSize: 64,
          mlpWidth: 4096,
          activation: 'quick_gelu',
          norm: 'before',
          causal: false,
          rotary: undefined,
        },
        imageSize: 336,
        patchSize: 14,
        classToken: true,
        eps: 1e-5,
      },
      language: {
        tower: {
          name: 'language',
          layers: 32,
          width: 4096,
          heads: 32,
          keyHeads: 32,
          headSize: 128,
          mlpWidth: 11008,
          activation: 'silu',
          norm: 'before',
          causal: true,
          rotary: { theta: 10000 },
        },
        eps: 1e-6,
        biases: { queryKeyValue: false, output: false, mlp: false },
        vocabulary: 32000,
        maxPositions: 2048,
        tiedHead: false,
        stopTokens: [2],
      },
      visionNames: CLIP,
      featureBlocks: 23,
      classFeature: false,
      projector: { activation: 'gelu', bias: true },
      imageToken: 32000,
      stopTokens: [2],
    });
  });

  test('a vision_config that says little is CLIPVisionConfig(), ViT-B/32', () => {
    const { vision } = parseLlavaConfig({
      vision_config: { model_type: 'clip_vision_model' },
    });
    expect(vision.tower).toMatchObject({ layers: 12, width: 768, heads: 12, mlpWidth: 3072 });
    expect(vision).toMatchObject({ imageSize: 224, patchSize: 32 });
  });

  test('the file of llava-hf/llava-1.5-7b-hf', () => {
    const { language, vision, imageToken } = parseLlavaConfig({
      image_token_index: 32000,
      model_type: 'llava',
      text_config: {
        _name_or_path: 'lmsys/vicuna-7b-v1.5',
        max_position_embeddings: 4096,
        model_type: 'llama',
        rms_norm_eps: 1e-5,
        torch_dtype: 'float16',
        vocab_size: 32064,
      },
      vision_config: {
        hidden_size: 1024,
        image_size: 336,
        intermediate_size: 4096,
        model_type: 'clip_vision_model',
        num_attention_heads: 16,
        num_hidden_layers: 24,
        patch_size: 14,
        projection_dim: 768,
        vocab_size: 32000,
      },
      vision_feature_layer: -2,
      vision_feature_select_strategy: 'default',
    });
    expect(language.tower).toMatchObject({ layers: 32, width: 4096, heads: 32, mlpWidth: 11008 });
    expect(vision.tower).toMatchObject({ layers: 24, width: 1024, heads: 16, activation: 'quick_gelu' });
    expect(language).toMatchObject({ vocabulary: 32064, maxPositions: 4096, eps: 1e-5 });
    expect(imageToken).toBe(32000);
  });
});

describe('the token that ends an answer', () => {
  const text = { text_config: { eos_token_id: 5 } };
  test.each([
    ['generation_config.json, a list', { eos_token_id: 3 }, { eos_token_id: [7, 8] }, [7, 8]],
    ['generation_config.json, one', text, { eos_token_id: 7 }, [7]],
    ['config.json where generation_config.json has none', { ...text, eos_token_id: [3, 4] }, {}, [3, 4]],
    ['text_config', text, { eos_token_id: null }, [5]],
  ])('%s', (_, config, generation, expected) => {
    expect(parseLlavaConfig(config, generation).stopTokens).toEqual(expected);
  });
});

test('the image token has two names, which must not contradict each other', () => {
  expect(parseLlavaConfig({ image_token_id: 7 }).imageToken).toBe(7);
  expect(parseLlavaConfig({ image_token_id: 7, image_token_index: 7 }).imageToken).toBe(7);
  expect(() => parseLlavaConfig({ image_token_id: 7, image_token_index: 8 })).toThrow(
    '"image_token_index" is 8 and "image_token_id", its other name, differs',
  );
});

test('rotary base: rope_theta, or inside rope_parameters', () => {
  const theta = (text_config: object) => parseLlavaConfig({ text_config }).language.tower.rotary?.theta;
  expect(theta({ rope_theta: 5e5, rope_scaling: null })).toBe(5e5);
  expect(theta({ rope_parameters: { rope_theta: 1e6, rope_type: 'default' } })).toBe(1e6);
});

test.each([
  [-1, 4],
  [-5, 0],
  [0, 0],
  [3, 3],
])('vision_feature_layer %d of 4 is the output of %d blocks', (layer, blocks) => {
  const vision_config = { num_hidden_layers: 4 };
  expect(parseLlavaConfig({ vision_config, vision_feature_layer: layer }).featureBlocks).toBe(blocks);
});

describe('refused, with the field named', () => {
  test.each<[string, object]>([
    ['vision_feature_layer', { vision_config: { num_hidden_layers: 4 }, vision_feature_layer: -6 }],
    ['vision_feature_layer', { vision_feature_layer: [-2, -5] }],
    ['vision_feature_select_strategy', { vision_feature_select_strategy: 'cls_patch' }],
    ['vision_config: "model_type"', { vision_config: { model_type: 'siglip_vision_model' } }],
    ['text_config: "model_type"', { text_config: { model_type: 'qwen2' } }],
    ['rope_scaling: "rope_type"', { text_config: { rope_scaling: { rope_type: 'llama3', factor: 8 } } }],
    ['rope_scaling: "type"', { text_config: { rope_scaling: { type: 'linear', factor: 2 } } }],
    ['rope_parameters: "rope_type"', { text_config: { rope_parameters: { rope_type: 'yarn' } } }],
    ['text_config: "hidden_act"', { text_config: { hidden_act: 'relu' } }],
    ['projector_hidden_act', { projector_hidden_act: 'gelu_new' }],
    ['attention heads', { text_config: { num_attention_heads: 6, hidden_size: 48, num_key_value_heads: 4 } }],
    ['attention heads', { text_config: { num_attention_heads: 5, hidden_size: 48 } }],
    ['heads of even size', { text_config: { num_attention_heads: 16, hidden_size: 48 } }],
    ['image_size', { vision_config: { image_size: 7, patch_size: 16 } }],
    ['eos_token_id', { eos_token_id: ['</s>'] }],
    ['text_config', { text_config: [] }],
  ])('%s', (message, config) => {
    expect(() => parseLlavaConfig(config)).toThrow(
      expect.objectContaining({ code: 'config', message: expect.stringContaining(message) }),
    );
  });
});
