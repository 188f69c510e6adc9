// config.json of LlavaForConditionalGeneration with a CLIP vision tower and a LLaMA language model. Defaults are those
// of transformers' LlavaConfig, CLIPVisionConfig and LlamaConfig: the hub's files leave most fields out.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig } from '../json-config.ts';
import { type LlamaSettings, readLlama } from '../parts/llama.ts';
import { readVit, type VitSettings } from '../parts/vit.ts';

export interface LlavaConfig {
  readonly vision: VitSettings;
  readonly language: LlamaSettings;
  /** Vision blocks whose output the features are; the blocks above feed nothing. */
  readonly featureBlocks: number;
  /** Whether the class token is one of the features. */
  readonly classFeature: boolean;
  readonly projector: { readonly activation: Activation; readonly bias: boolean };
  /** The token that stands where the image's features go. */
  readonly imageToken: number;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** CLIPVisionConfig's defaults: CLIP ViT-B/32. */
const CLIP_BASE = {
  ...{ width: 768, mlp: 3072, layers: 12, heads: 12, image: 224, patch: 32 },
  activation: 'quick_gelu',
} as const;
/** What LlavaConfig puts in place of a vision_config that is left out altogether: CLIP ViT-L/14 at 336 pixels. */
const CLIP_LARGE = {
  ...{ width: 1024, mlp: 4096, layers: 24, heads: 16, image: 336, patch: 14 },
  activation: 'quick_gelu',
} as const;

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseLlavaConfig(json: unknown, generation: unknown = {}): LlavaConfig {
  const config = new JsonConfig(json, 'config.json', { image_token_id: 'image_token_index' });
  const section = config.section('vision_config');
  section.choice('model_type', ['clip_vision_model'], 'clip_vision_model');
  const vision = readVit(section, config.has('vision_config') ? CLIP_BASE : CLIP_LARGE);
  const language = readLlama(config.section('text_config'));
  const stop = config.tokens('eos_token_id', language.stopTokens);
  return {
    vision,
    language,
    featureBlocks: featureBlocks(config, vision.tower.layers),
    classFeature: config.choice('vision_feature_select_strategy', ['default', 'full'], 'default') === 'full',
    projector: {
      activation: config.choice('projector_hidden_act', ACTIVATIONS, 'gelu'),
      bias: config.boolean('multimodal_projector_bias', true),
    },
    imageToken: config.token('image_token_index', 32000),
    stopTokens: new JsonConfig(generation, 'generation_config.json').tokens('eos_token_id', stop),
  };
}

/** `vision_feature_layer` counts hidden states: 0 is the first block's input, −1 the last block's output. */
function featureBlocks(config: JsonConfig, layers: number): number {
  const layer = config.integer('vision_feature_layer', -2);
  const blocks = layer < 0 ? layers + 1 + layer : layer;
  if (!(blocks >= 0 && blocks <= layers))
    config.fail(`vision_feature_layer ${layer} does not exist: the vision tower has ${layers} layers`);
  return blocks;
}
