// Hook points of SmolVLM and Idefics3 beside the modules of transformers' classes.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { SmolVlmConfig } from './config.ts';

export function smolVlmHooks({ vision, language, scale }: SmolVlmConfig): HookInfo[] {
  const { width } = language.tower;
  const depth = vision.tower.width;
  const connector = 'model.connector';
  return [
    ...vitHooks(vision, 'model.vision_model.', SIGLIP),
    {
      name: 'connector.hook_shuffled',
      shape: ['tile', 'feature', depth * scale ** 2],
      module: `input of ${connector}.modality_projection.proj`,
    },
    { name: 'connector.hook_out', shape: ['tile', 'feature', width], module: connector },
    ...llamaHooks(language, 'model.text_model', 'lm_head'),
  ];
}
