// config.json of LlavaForConditionalGeneration with a CLIP vision tower and a LLaMA language model. Defaults are those
// of transformers' LlavaConfig, CLIPVisionConfig and LlamaConfig: the hub's files leave most fields out.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { LLAMA, type LlamaDefaults, type LlamaSettings, readLlama } from '../parts/llama-settings.ts';
import { CLIP, readVit, type VitDefaults, type VitNames, type VitSettings } from '../parts/vit.ts';

export interface LlavaConfig {
  readonly vision: VitSettings;
  /** Where its modules are. */
  readonly visionNames: VitNames;
  readonly language: LlamaSettings;
  /** Vision blocks whose output the features are; the blocks above feed nothing. */
  readonly featureBlocks: number;
  /** Whether the class token is one of the features. */
  readonly classFeature: boolean;
  readonly projector: { readonly activation: Activation; readonly bias: boolean };
  /** The token that stands where the image's features go. */
  readonly imageToken: number;
  /** The token that stands for a video, where the family has one. */
  readonly videoToken?: number | undefined;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** CLIPVisionConfig's defaults: CLIP ViT-B/32. */
const CLIP_BASE = {
  ...{ width: 768, mlp: 3072, layers: 12, heads: 12, image: 224, patch: 32 },
  activation: 'quick_gelu',
} as const;
/** CLIP ViT-L/14 at 336 pixels. */
const CLIP_LARGE = {
  ...{ width: 1024, mlp: 4096, layers: 24, heads: 16, image: 336, patch: 14 },
  activation: 'quick_gelu',
} as const;

/** What a family of LLaVA's kind can be made of, and what its class in transformers has where config.json is silent. */
export interface LlavaKind {
  readonly vision: {
    readonly modelType: string;
    readonly names: VitNames;
    readonly defaults: VitDefaults;
    /** In place of a vision_config that is left out altogether. */
    readonly absent: VitDefaults;
  };
  /** The first is that of a text_config without a model_type. */
  readonly decoders: readonly LlamaDefaults[];
  readonly featureLayer: number;
  /** Which of the vision tower's positions can be features; the first is the default. */
  readonly strategies: readonly ('default' | 'full')[];
  readonly imageToken: number;
  readonly videoToken?: number;
}

/** What LLaVA and LLaVA-NeXT have in common: LlavaConfig's and LlavaNextConfig's defaults. */
export const LLAVA: LlavaKind = {
  vision: { modelType: 'clip_vision_model', names: CLIP, defaults: CLIP_BASE, absent: CLIP_LARGE },
  decoders: [LLAMA],
  featureLayer: -2,
  strategies: ['default', 'full'],
  imageToken: 32000,
};

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseLlavaConfig(json: unknown, generation: unknown = {}, kind = LLAVA): LlavaConfig {
  const config = new JsonConfig(json, 'config.json', {
    image_token_id: 'image_token_index',
    video_token_id: 'video_token_index',
  });
  const section = config.section('vision_config');
  const { modelType, names, defaults, absent } = kind.vision;
  section.choice('model_type', [modelType], modelType);
  const vision = readVit(section, config.has('vision_config') ? defaults : absent);
  const language = readDecoder(config.section('text_config'), kind.decoders);
  const { strategies } = kind;
  return {
    vision,
    visionNames: names,
    language,
    featureBlocks: featureBlocks(config, kind.featureLayer, vision.tower.layers),
    classFeature: config.choice('vision_feature_select_strategy', strategies, strategies[0]) === 'full',
    projector: {
      activation: config.choice('projector_hidden_act', ACTIVATIONS, 'gelu'),
      bias: config.boolean('multimodal_projector_bias', true),
    },
    imageToken: config.token('image_token_index', kind.imageToken),
    ...(kind.videoToken !== undefined && { videoToken: config.token('video_token_index', kind.videoToken) }),
    stopTokens: stopTokensOf(config, generation, language.stopTokens),
  };
}

function readDecoder(text: JsonConfig, decoders: readonly LlamaDefaults[]): LlamaSettings {
  const names = decoders.map(({ modelType }) => modelType);
  const name = text.choice('model_type', names, names[0]);
  return readLlama(
    text,
    decoders.find(({ modelType }) => modelType === name),
  );
}

/** `vision_feature_layer` counts hidden states: 0 is the first block's input, −1 the last block's output. */
function featureBlocks(config: JsonConfig, usual: number, layers: number): number {
  const layer = config.integer('vision_feature_layer', usual);
  const blocks = layer < 0 ? layers + 1 + layer : layer;
  if (!(blocks >= 0 && blocks <= layers))
    config.fail(`vision_feature_layer ${layer} does not exist: the vision tower has ${layers} layers`);
  return blocks;
}
