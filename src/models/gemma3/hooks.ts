// Hook points of Gemma 3 beside the modules of transformers' Gemma3ForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { Gemma3Config } from './config.ts';

export function gemma3Hooks({ vision, language }: Gemma3Config): HookInfo[] {
  const { width } = language.tower;
  const depth = vision.tower.width;
  const projector = 'model.multi_modal_projector';
  return [
    ...vitHooks(vision, 'model.vision_tower.', SIGLIP),
    {
      name: 'projector.hook_pooled',
      shape: ['feature', depth],
      module: `input of ${projector}.mm_soft_emb_norm`,
    },
    { name: 'projector.hook_normalized', shape: ['feature', depth], module: `${projector}.mm_soft_emb_norm` },
    { name: 'projector.hook_out', shape: ['feature', width], module: projector },
    ...llamaHooks(language, 'model.language_model', 'lm_head'),
  ];
}
