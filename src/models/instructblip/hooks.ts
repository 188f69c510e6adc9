// Hook points of InstructBLIP beside the modules of transformers' InstructBlipForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { BLIP_VIT, vitHooks } from '../parts/vit.ts';
import type { InstructBlipConfig } from './config.ts';
import { qformerHooks } from './qformer.ts';

export function instructBlipHooks({ vision, qformer, language }: InstructBlipConfig): HookInfo[] {
  const { width } = language.tower;
  return [
    ...vitHooks(vision, 'vision_model.', BLIP_VIT),
    ...qformerHooks(qformer),
    { name: 'projector.hook_out', shape: [qformer.tower.queries, width], module: 'language_projection' },
    ...llamaHooks(language, 'language_model.model', 'language_model.lm_head'),
  ];
}
