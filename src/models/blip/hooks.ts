// Hook points of BLIP-VQA beside the modules of transformers' BlipForQuestionAnswering.

import type { HookInfo } from '../hook-table.ts';
import { bertHooks } from '../parts/bert.ts';
import { BLIP_VIT, vitHooks } from '../parts/vit.ts';
import type { BlipConfig } from './config.ts';

export function blipHooks({ vision, encoder, decoder }: BlipConfig): HookInfo[] {
  return [
    ...vitHooks(vision, 'vision_model.', BLIP_VIT),
    ...bertHooks(encoder, 'text_encoder'),
    ...bertHooks(decoder, 'text_decoder.bert'),
    {
      name: 'text_decoder.hook_head_transform',
      shape: ['position', decoder.tower.width],
      module: 'text_decoder.cls.predictions.transform',
    },
    { name: 'logits', shape: [decoder.vocabulary], module: 'text_decoder.cls, last position' },
  ];
}
