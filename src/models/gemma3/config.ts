// config.json of Gemma3ForConditionalGeneration, in the forms of transformers 4.50, 4.53 and 5. Defaults are those of
// Gemma3Config, Gemma3TextConfig and SiglipVisionConfig.

import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { readGemma } from '../parts/gemma.ts';
import type { LlamaSettings } from '../parts/llama-settings.ts';
import { patchSide, readVit, SIGLIP_DEFAULTS, type VitSettings } from '../parts/vit.ts';

export interface Gemma3Config {
  readonly vision: VitSettings;
  readonly language: LlamaSettings;
  /** Features in a row of a picture or crop. */
  readonly side: number;
  /** Side of the blocks of patches whose average a feature is. */
  readonly pool: number;
  /** The token that stands for a feature. */
  readonly imageToken: number;
  readonly stopTokens: readonly number[];
}

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseGemma3Config(json: unknown, generation: unknown = {}): Gemma3Config {
  const config = new JsonConfig(json, 'config.json', { image_token_id: 'image_token_index' });
  const section = config.section('vision_config');
  section.choice('model_type', ['siglip_vision_model'], 'siglip_vision_model');
  const vision = readVit(section, SIGLIP_DEFAULTS);
  const language = readGemma(config.section('text_config'), ['gemma3_text']);
  const tokens = config.size('mm_tokens_per_image', 256);
  const [patches, side] = [patchSide(vision), Math.floor(Math.sqrt(tokens))];
  if (side ** 2 !== tokens || patches % side !== 0)
    config.fail(
      `mm_tokens_per_image ${tokens} is not the square of a number that divides the ${patches} patches in a row`,
    );
  return {
    vision,
    language,
    side,
    pool: patches / side,
    imageToken: config.token('image_token_index', 262144),
    stopTokens: stopTokensOf(config, generation, language.stopTokens),
  };
}
