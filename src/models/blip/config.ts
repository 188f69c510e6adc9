// config.json of BlipForQuestionAnswering. Defaults are those of transformers' BlipConfig, BlipVisionConfig and
// BlipTextConfig: a file may leave them out.

import { JsonConfig } from '../json-config.ts';
import { type BertSettings, readBert } from '../parts/bert.ts';
import { readVit, type VitSettings } from '../parts/vit.ts';

export interface BlipConfig {
  readonly vision: VitSettings;
  readonly encoder: BertSettings;
  readonly decoder: BertSettings;
  /** The decoder's first token, [DEC]. */
  readonly startToken: number;
  /** The token that ends an answer, [SEP]. */
  readonly endToken: number;
}

const VISION = {
  width: 768,
  mlp: 3072,
  layers: 12,
  heads: 12,
  image: 384,
  patch: 16,
  activation: 'gelu',
} as const;

/** @throws NoticeError('config') naming the field */
export function parseBlipConfig(json: unknown): BlipConfig {
  const config = new JsonConfig(json, 'config.json');
  const text = config.section('text_config');
  return {
    vision: readVit(config.section('vision_config'), VISION),
    encoder: readBert(text, 'text_encoder', false),
    decoder: readBert(text, 'text_decoder', true),
    startToken: text.token('bos_token_id', 30522),
    endToken: text.token('sep_token_id', 102),
  };
}
