// Hook points of LLaVA beside the modules of transformers' LlavaForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { vitHooks } from '../parts/vit.ts';
import type { LlavaConfig } from './config.ts';

export function llavaHooks({ vision, visionNames, language }: LlavaConfig): HookInfo[] {
  const projector = 'multi_modal_projector';
  const llama = 'language_model.model';
  const { width } = language.tower;
  const features = (columns: number) => [...(vision.tiled ? ['tile'] : []), 'feature', columns];
  return [
    ...vitHooks(vision, 'vision_tower.vision_model.', visionNames),
    {
      name: 'vision.hook_selected',
      shape: features(vision.tower.width),
      module: `input of ${projector}`,
    },
    { name: 'projector.hook_pre', shape: features(width), module: `${projector}.linear_1` },
    { name: 'projector.hook_post', shape: features(width), module: `input of ${projector}.linear_2` },
    { name: 'projector.hook_out', shape: features(width), module: `${projector}.linear_2` },
    { name: 'language.hook_embed', shape: ['position', width], module: `input of ${llama}.layers.0` },
    ...llamaHooks(language, `${llama}.`),
    { name: 'language.hook_out', shape: ['position', width], module: `${llama}.norm` },
    { name: 'logits_all', shape: ['position', language.vocabulary], module: 'language_model.lm_head' },
    { name: 'logits', shape: [language.vocabulary], module: 'language_model.lm_head, last position' },
  ];
}
