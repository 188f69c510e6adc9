// config.json of InstructBlipForConditionalGeneration with a LLaMA (Vicuna) language model. Defaults are those of
// transformers' InstructBlipConfig, InstructBlipVisionConfig and InstructBlipQFormerConfig.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { type LlamaSettings, readLlama } from '../parts/llama-settings.ts';
import { headSizes } from '../parts/sizes.ts';
import { readVit, type VitSettings } from '../parts/vit.ts';
import type { TowerConfig } from '../tower/index.ts';

export interface QFormerSettings {
  readonly tower: TowerConfig & { readonly queries: number };
  readonly eps: number;
  readonly vocabulary: number;
  /** Of its words; queries have no position. */
  readonly maxPositions: number;
}

export interface InstructBlipConfig {
  readonly vision: VitSettings;
  readonly qformer: QFormerSettings;
  readonly language: LlamaSettings;
  /** The token that stands where a query's features go. */
  readonly imageToken: number;
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'quick_gelu'];

/** EVA's ViT-g. */
const VISION = {
  ...{ width: 1408, mlp: 6144, layers: 39, heads: 16, image: 224, patch: 14 },
  activation: 'gelu',
  eps: 1e-6,
} as const;

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseInstructBlipConfig(json: unknown, generation: unknown = {}): InstructBlipConfig {
  const config = new JsonConfig(json, 'config.json', { image_token_id: 'image_token_index' });
  const text = config.section('text_config');
  if (!text.has('model_type'))
    text.fail('without a model_type this is OPT; only "llama" (Vicuna) is supported');
  const vision = config.section('vision_config');
  if (!vision.boolean('qkv_bias', true)) vision.fail('qkv_bias false is not supported');
  const language = readLlama(text);
  return {
    vision: readVit(vision, VISION),
    qformer: readQFormer(config.section('qformer_config'), config.size('num_query_tokens', 32)),
    language,
    imageToken: config.token('image_token_index'),
    stopTokens: stopTokensOf(config, generation, language.stopTokens),
  };
}

function readQFormer(section: JsonConfig, queries: number): QFormerSettings {
  section.choice('position_embedding_type', ['absolute'], 'absolute');
  return {
    tower: {
      name: 'qformer',
      layers: section.layers('num_hidden_layers', 12),
      ...headSizes(section, { width: 768, heads: 12 }),
      mlpWidth: section.size('intermediate_size', 3072),
      activation: section.choice('hidden_act', ACTIVATIONS, 'gelu'),
      norm: 'after',
      causal: false,
      rotary: undefined,
      queries,
      crossEvery: section.size('cross_attention_frequency', 2),
    },
    eps: section.eps('layer_norm_eps', 1e-12),
    vocabulary: section.size('vocab_size', 30522),
    maxPositions: section.size('max_position_embeddings', 512),
  };
}
