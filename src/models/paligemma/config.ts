// config.json of PaliGemmaForConditionalGeneration, with Gemma (PaliGemma) or Gemma 2 (PaliGemma 2). Defaults are those of
// transformers' PaliGemmaConfig, SiglipVisionConfig and the Gemmas'.

import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { readGemma } from '../parts/gemma.ts';
import type { LlamaSettings } from '../parts/llama-settings.ts';
import { readVit, SIGLIP_DEFAULTS, type VitSettings } from '../parts/vit.ts';

export interface PaliGemmaConfig {
  readonly vision: VitSettings;
  readonly language: LlamaSettings;
  /** The token that stands for a feature. */
  readonly imageToken: number;
  readonly stopTokens: readonly number[];
}

/** What PaliGemmaConfig puts in place of sections that are left out altogether: PaliGemma-3B. */
const VISION_3B = { width: 1152, mlp: 4096, layers: 27, heads: 16, image: 224, patch: 14 };
const TEXT_3B = { width: 2048, mlp: 16384, layers: 18, heads: 8, keyHeads: 1, vocabulary: 257152 };

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parsePaliGemmaConfig(json: unknown, generation: unknown = {}): PaliGemmaConfig {
  const config = new JsonConfig(json, 'config.json', { image_token_id: 'image_token_index' });
  const section = config.section('vision_config');
  section.choice('model_type', ['siglip_vision_model'], 'siglip_vision_model');
  const vision = readVit(section, {
    ...SIGLIP_DEFAULTS,
    ...(config.has('vision_config') ? {} : VISION_3B),
  });
  const language = readGemma(config.section('text_config'), ['gemma', 'gemma2'], {
    bidirectional: true,
    ...(config.has('text_config') ? {} : TEXT_3B),
  });
  return {
    vision,
    language: { ...language, firstPlace: 1 },
    imageToken: config.token('image_token_index', 256000),
    stopTokens: stopTokensOf(config, generation, language.stopTokens),
  };
}
