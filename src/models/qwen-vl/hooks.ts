// Hook points of Qwen2-VL, Qwen2.5-VL and Qwen3-VL beside the modules of transformers 5.

import type { HookInfo } from '../hook-table.ts';
import { blockHooks } from '../parts/block.ts';
import { llamaHooks } from '../parts/llama.ts';
import type { QwenConfig } from './config.ts';
import { NAMES, visionBlocks } from './weights.ts';

const VISUAL = 'model.visual.';

export function qwenHooks({ kind, vision, language }: QwenConfig): HookInfo[] {
  const { width, layers } = vision.tower;
  const merged = vision.merge ** 2 * width;
  const out = language.tower.width;
  const names = NAMES[kind].merger;
  const merger = (tower: string, path: string, normalized: readonly (string | number)[]): HookInfo[] => [
    { name: `${tower}.hook_normalized`, shape: normalized, module: `${path}.${names.norm}` },
    { name: `${tower}.hook_pre`, shape: ['feature', merged], module: `${path}.${names.input}` },
    { name: `${tower}.hook_post`, shape: ['feature', merged], module: `input of ${path}.${names.output}` },
    { name: `${tower}.hook_out`, shape: ['feature', out], module: path },
  ];
  const blocks = blockHooks(visionBlocks(kind, vision, VISUAL));
  const perBlock = blocks.length / layers;
  const embedded = vision.positions === undefined ? `${VISUAL}patch_embed` : `input of ${VISUAL}blocks.0`;
  return [
    ...(vision.positions === undefined
      ? []
      : [{ name: 'vision.hook_patches', shape: ['position', width], module: `${VISUAL}patch_embed` }]),
    { name: 'vision.hook_embed', shape: ['position', width], module: embedded },
    ...Array.from({ length: layers }, (_, layer) => {
      const j = vision.deepstack.indexOf(layer);
      const own = blocks.slice(layer * perBlock, (layer + 1) * perBlock);
      if (j < 0) return own;
      return [
        ...own,
        ...merger(`deepstack.${j}`, `${VISUAL}deepstack_merger_list.${j}`, ['feature', merged]),
      ];
    }).flat(),
    ...merger('projector', `${VISUAL}merger`, ['position', width]),
    ...llamaHooks(language, 'model.language_model', 'lm_head'),
  ];
}
