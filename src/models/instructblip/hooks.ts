// Hook points of InstructBLIP beside the modules of transformers' InstructBlipForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { BLIP_VIT, vitHooks } from '../parts/vit.ts';
import type { InstructBlipConfig } from './config.ts';
import { qformerHooks } from './qformer.ts';

export function instructBlipHooks({ vision, qformer, language }: InstructBlipConfig): HookInfo[] {
  const llama = 'language_model.model';
  const { width } = language.tower;
  return [
    ...vitHooks(vision, 'vision_model.', BLIP_VIT),
    {
      name: 'vision.hook_out',
      shape: ['position', vision.tower.width],
      module: 'vision_model.post_layernorm of all positions',
    },
    ...qformerHooks(qformer),
    { name: 'projector.hook_out', shape: [qformer.tower.queries, width], module: 'language_projection' },
    { name: 'language.hook_embed', shape: ['position', width], module: `input of ${llama}.layers.0` },
    ...llamaHooks(language, `${llama}.`),
    { name: 'language.hook_out', shape: ['position', width], module: `${llama}.norm` },
    { name: 'logits_all', shape: ['position', language.vocabulary], module: 'language_model.lm_head' },
    { name: 'logits', shape: [language.vocabulary], module: 'language_model.lm_head, last position' },
  ];
}
