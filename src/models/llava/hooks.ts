// Hook points of LLaVA beside the modules of transformers' LlavaForConditionalGeneration.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { vitBlockHooks } from '../parts/vit.ts';
import type { LlavaConfig } from './config.ts';

export function llavaHooks({ vision, visionNames, language }: LlavaConfig): HookInfo[] {
  const projector = 'multi_modal_projector';
  const { width } = language.tower;
  const features = (columns: number) => [...(vision.tiled ? ['tile'] : []), 'feature', columns];
  return [
    ...vitBlockHooks(vision, 'vision_tower.vision_model.', visionNames),
    {
      name: 'vision.hook_selected',
      shape: features(vision.tower.width),
      module: `input of ${projector}`,
    },
    { name: 'projector.hook_pre', shape: features(width), module: `${projector}.linear_1` },
    { name: 'projector.hook_post', shape: features(width), module: `input of ${projector}.linear_2` },
    { name: 'projector.hook_out', shape: features(width), module: `${projector}.linear_2` },
    ...llamaHooks(language, 'language_model.model', 'language_model.lm_head'),
  ];
}
