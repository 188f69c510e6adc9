// Hook points of Gemma 3 beside the modules of transformers' Gemma3ForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { Gemma3Config } from './config.ts';

export function gemma3Hooks({ vision, language }: Gemma3Config): HookInfo[] {
  const { width } = language.tower;
  const depth = vision.tower.width;
  const siglip = 'model.vision_tower';
  const projector = 'model.multi_modal_projector';
  const gemma = 'model.language_model';
  return [
    ...vitHooks(vision, `${siglip}.`, SIGLIP),
    { name: 'vision.hook_out', shape: ['position', depth], module: `${siglip}.post_layernorm` },
    {
      name: 'projector.hook_pooled',
      shape: ['feature', depth],
      module: `input of ${projector}.mm_soft_emb_norm`,
    },
    { name: 'projector.hook_normalized', shape: ['feature', depth], module: `${projector}.mm_soft_emb_norm` },
    { name: 'projector.hook_out', shape: ['feature', width], module: projector },
    { name: 'language.hook_embed', shape: ['position', width], module: `input of ${gemma}.layers.0` },
    ...llamaHooks(language, `${gemma}.`),
    { name: 'language.hook_out', shape: ['position', width], module: `${gemma}.norm` },
    { name: 'logits_all', shape: ['position', language.vocabulary], module: 'lm_head' },
    { name: 'logits', shape: [language.vocabulary], module: 'lm_head, last position' },
  ];
}
