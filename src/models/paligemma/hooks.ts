// Hook points of PaliGemma beside the modules of transformers' PaliGemmaForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { PaliGemmaConfig } from './config.ts';

export function paliGemmaHooks({ vision, language }: PaliGemmaConfig): HookInfo[] {
  const { width } = language.tower;
  const capped = language.logitSoftcap === undefined ? '' : ', softcapped';
  return [
    ...vitHooks(vision, 'model.vision_tower.', SIGLIP),
    { name: 'projector.hook_out', shape: ['feature', width], module: 'model.multi_modal_projector' },
    ...llamaHooks(language, 'model.language_model', `lm_head${capped}`),
  ];
}
