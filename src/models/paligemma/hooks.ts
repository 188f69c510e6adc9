// Hook points of PaliGemma beside the modules of transformers' PaliGemmaForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { PaliGemmaConfig } from './config.ts';

export function paliGemmaHooks({ vision, language }: PaliGemmaConfig): HookInfo[] {
  const { width } = language.tower;
  const siglip = 'model.vision_tower';
  const gemma = 'model.language_model';
  const capped = language.logitSoftcap === undefined ? '' : ', softcapped';
  return [
    ...vitHooks(vision, `${siglip}.`, SIGLIP),
    {
      name: 'vision.hook_out',
      shape: ['position', vision.tower.width],
      module: `${siglip}.post_layernorm`,
    },
    { name: 'projector.hook_out', shape: ['feature', width], module: 'model.multi_modal_projector' },
    { name: 'language.hook_embed', shape: ['position', width], module: `input of ${gemma}.layers.0` },
    ...llamaHooks(language, `${gemma}.`),
    { name: 'language.hook_out', shape: ['position', width], module: `${gemma}.norm` },
    { name: 'logits_all', shape: ['position', language.vocabulary], module: `lm_head${capped}` },
    { name: 'logits', shape: [language.vocabulary], module: `lm_head${capped}, last position` },
  ];
}
