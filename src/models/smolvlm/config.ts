// config.json of SmolVLMForConditionalGeneration and Idefics3ForConditionalGeneration. Defaults are those of transformers'
// Idefics3Config, Idefics3VisionConfig (SmolVLM's are the same) and LlamaConfig.

import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { type LlamaSettings, readLlama } from '../parts/llama-settings.ts';
import { patchSide, readVit, SIGLIP_DEFAULTS, type VitDefaults, type VitSettings } from '../parts/vit.ts';

export interface SmolVlmConfig {
  readonly vision: VitSettings;
  readonly language: LlamaSettings;
  /** Side of the blocks of patches that become one feature. */
  readonly scale: number;
  /** Features in a row of a tile. */
  readonly side: number;
  /** The token that stands for a feature. */
  readonly imageToken: number;
  readonly stopTokens: readonly number[];
  /** Tiles along each side of a square picture, as the model's processor cuts it. */
  readonly usualTiles: number;
}

const VISION: VitDefaults = { ...SIGLIP_DEFAULTS, width: 1152, heads: 16, image: 224, patch: 32 };

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseSmolVlmConfig(json: unknown, generation: unknown = {}): SmolVlmConfig {
  const config = new JsonConfig(json, 'config.json');
  const section = config.section('vision_config');
  const text = config.section('text_config');
  const vision = { ...readVit(section, VISION), tiled: true };
  const language = readLlama(text);
  const scale = config.size('scale_factor', 2);
  const patches = patchSide(vision);
  if (patches % scale !== 0)
    config.fail(`scale_factor ${scale} does not divide the ${patches} patches in a row of a tile`);
  return {
    vision,
    language: { ...language, tiedHead: language.tiedHead || config.boolean('tie_word_embeddings', false) },
    scale,
    side: patches / scale,
    imageToken: config.token('image_token_id', 128257),
    stopTokens: stopTokensOf(config, generation, language.stopTokens),
    usualTiles: Math.ceil(
      section.section('size').size('longest_edge', vision.imageSize) /
        section.section('max_image_size').size('longest_edge', vision.imageSize),
    ),
  };
}
