// Hook points of SmolVLM and Idefics3 beside the modules of transformers' classes.

import type { HookInfo } from '../hook-table.ts';
import { llamaHooks } from '../parts/llama.ts';
import { SIGLIP, vitHooks } from '../parts/vit.ts';
import type { SmolVlmConfig } from './config.ts';

export function smolVlmHooks({ vision, language, scale }: SmolVlmConfig): HookInfo[] {
  const { width } = language.tower;
  const depth = vision.tower.width;
  const siglip = 'model.vision_model';
  const connector = 'model.connector';
  const llama = 'model.text_model';
  return [
    ...vitHooks(vision, `${siglip}.`, SIGLIP),
    {
      name: 'vision.hook_out',
      shape: ['tile', 'position', depth],
      module: `${siglip}.post_layernorm`,
    },
    {
      name: 'connector.hook_shuffled',
      shape: ['tile', 'feature', depth * scale ** 2],
      module: `input of ${connector}.modality_projection.proj`,
    },
    { name: 'connector.hook_out', shape: ['tile', 'feature', width], module: connector },
    { name: 'language.hook_embed', shape: ['position', width], module: `input of ${llama}.layers.0` },
    ...llamaHooks(language, `${llama}.`),
    { name: 'language.hook_out', shape: ['position', width], module: `${llama}.norm` },
    { name: 'logits_all', shape: ['position', language.vocabulary], module: 'lm_head' },
    { name: 'logits', shape: [language.vocabulary], module: 'lm_head, last position' },
  ];
}
