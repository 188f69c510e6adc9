// config.json of LlavaForConditionalGeneration with a CLIP vision tower and a LLaMA language model. Defaults are those
// of transformers' LlavaConfig, CLIPVisionConfig and LlamaConfig: the hub's files leave most fields out.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig } from '../json-config.ts';
import type { TowerConfig } from '../tower/index.ts';

export interface LlavaConfig {
  readonly vision: TowerConfig;
  readonly language: TowerConfig;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly visionEps: number;
  readonly languageEps: number;
  /** Vision blocks whose output the features are; the blocks above feed nothing. */
  readonly featureBlocks: number;
  /** Whether the class token is one of the features. */
  readonly classFeature: boolean;
  readonly projectorActivation: Activation;
  readonly biases: { readonly projector: boolean; readonly attention: boolean; readonly mlp: boolean };
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** The token that stands where the image's features go. */
  readonly imageToken: number;
  /** Whether the head is the transposed token embedding. */
  readonly tiedHead: boolean;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'quick_gelu', 'silu'];

/** CLIPVisionConfig's defaults: CLIP ViT-B/32. */
const CLIP_BASE = { width: 768, mlp: 3072, layers: 12, heads: 12, image: 224, patch: 32 };
/** What LlavaConfig puts in place of a vision_config that is left out altogether: CLIP ViT-L/14 at 336 pixels. */
const CLIP_LARGE = { width: 1024, mlp: 4096, layers: 24, heads: 16, image: 336, patch: 14 };

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseLlavaConfig(json: unknown, generation: unknown = {}): LlavaConfig {
  const config = new JsonConfig(json, 'config.json', { image_token_id: 'image_token_index' });
  const vision = config.section('vision_config');
  const text = config.section('text_config');
  const defaults = config.has('vision_config') ? CLIP_BASE : CLIP_LARGE;
  const imageSize = vision.size('image_size', defaults.image);
  const patchSize = vision.size('patch_size', defaults.patch);
  if (imageSize % patchSize !== 0)
    vision.fail(`image_size ${imageSize} is not a multiple of patch_size ${patchSize}`);
  const visionTower = clipTower(vision, defaults);
  const select = config.choice('vision_feature_select_strategy', ['default', 'full'], 'default');
  const stop = config.tokens('eos_token_id', text.tokens('eos_token_id', [2]));
  return {
    vision: visionTower,
    language: llamaTower(text),
    imageSize,
    patchSize,
    visionEps: vision.eps('layer_norm_eps', 1e-5),
    languageEps: text.eps('rms_norm_eps', 1e-6),
    featureBlocks: featureBlocks(config, visionTower.layers),
    classFeature: select === 'full',
    projectorActivation: config.choice('projector_hidden_act', ACTIVATIONS, 'gelu'),
    biases: {
      projector: config.boolean('multimodal_projector_bias', true),
      attention: text.boolean('attention_bias', false),
      mlp: text.boolean('mlp_bias', false),
    },
    vocabulary: text.size('vocab_size', 32000),
    maxPositions: text.size('max_position_embeddings', 2048),
    imageToken: config.token('image_token_index', 32000),
    tiedHead: text.boolean('tie_word_embeddings', false),
    stopTokens: new JsonConfig(generation, 'generation_config.json').tokens('eos_token_id', stop),
  };
}

function clipTower(vision: JsonConfig, defaults: typeof CLIP_BASE): TowerConfig {
  vision.choice('model_type', ['clip_vision_model'], 'clip_vision_model');
  const width = vision.size('hidden_size', defaults.width);
  const heads = vision.size('num_attention_heads', defaults.heads);
  if (width % heads !== 0) vision.fail(`hidden_size ${width} is not a multiple of ${heads} attention heads`);
  return {
    name: 'vision',
    layers: vision.layers('num_hidden_layers', defaults.layers),
    width,
    heads,
    keyHeads: heads,
    headSize: width / heads,
    mlpWidth: vision.size('intermediate_size', defaults.mlp),
    activation: vision.choice('hidden_act', ACTIVATIONS, 'quick_gelu'),
    norm: 'before',
    causal: false,
    rotary: undefined,
  };
}

function llamaTower(text: JsonConfig): TowerConfig {
  text.choice('model_type', ['llama'], 'llama');
  const width = text.size('hidden_size', 4096);
  const heads = text.size('num_attention_heads', 32);
  const keyHeads = text.size('num_key_value_heads', heads);
  if (!text.has('head_dim') && width % heads !== 0)
    text.fail(`hidden_size ${width} is not a multiple of ${heads} attention heads`);
  const headSize = text.size('head_dim', width / heads);
  if (heads % keyHeads !== 0)
    text.fail(`${heads} attention heads cannot share ${keyHeads} key and value heads evenly`);
  if (headSize % 2 !== 0) text.fail(`rotary embedding needs heads of even size, not ${headSize}`);
  return {
    name: 'language',
    layers: text.layers('num_hidden_layers', 32),
    width,
    heads,
    keyHeads,
    headSize,
    mlpWidth: text.size('intermediate_size', 11008),
    activation: text.choice('hidden_act', ACTIVATIONS, 'silu'),
    norm: 'before',
    causal: true,
    rotary: { theta: rotaryTheta(text) },
  };
}

/** Older files have `rope_theta` and `rope_scaling`, newer ones both in `rope_parameters`. */
function rotaryTheta(text: JsonConfig): number {
  const parameters = text.section('rope_parameters');
  for (const section of [parameters, text.section('rope_scaling')])
    for (const field of ['rope_type', 'type']) section.choice(field, ['default'], 'default');
  return text.positive('rope_theta', parameters.positive('rope_theta', 10000));
}

/** `vision_feature_layer` counts hidden states: 0 is the first block's input, −1 the last block's output. */
function featureBlocks(config: JsonConfig, layers: number): number {
  const layer = config.integer('vision_feature_layer', -2);
  const blocks = layer < 0 ? layers + 1 + layer : layer;
  if (!(blocks >= 0 && blocks <= layers))
    config.fail(`vision_feature_layer ${layer} does not exist: the vision tower has ${layers} layers`);
  return blocks;
}
