// Where PaliGemmaForConditionalGeneration keeps its parameters: modules are found by their last names, so every release's
// layout loads.

import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type LlamaWeights, loadLlama } from '../parts/llama.ts';
import { loadVit, SIGLIP, type VitWeights } from '../parts/vit.ts';
import type { Linear } from '../tower/index.ts';
import { linear, prefixOf } from '../weight-maps.ts';
import type { PaliGemmaConfig } from './config.ts';

export interface PaliGemmaWeights {
  readonly vision: VitWeights;
  readonly projector: Linear;
  readonly language: LlamaWeights;
}

/** @throws WeightsError */
export async function loadPaliGemmaWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { vision, language }: PaliGemmaConfig,
): Promise<PaliGemmaWeights> {
  const projector = 'multi_modal_projector.linear';
  const path = `${prefixOf(checkpoint, `${projector}.weight`)}${projector}`;
  return {
    vision: await loadVit(loader, prefixOf(checkpoint, 'embeddings.patch_embedding.weight'), vision, SIGLIP),
    projector: await linear(loader, path, language.tower.width, vision.tower.width),
    language: await loadLlama(loader, checkpoint, language),
  };
}
