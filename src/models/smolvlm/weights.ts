// Where SmolVLMForConditionalGeneration and Idefics3ForConditionalGeneration keep their parameters.

import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type LlamaWeights, loadLlama } from '../parts/llama.ts';
import { loadVit, SIGLIP, type VitWeights } from '../parts/vit.ts';
import type { Linear } from '../tower/index.ts';
import { linear, prefixOf } from '../weight-maps.ts';
import type { SmolVlmConfig } from './config.ts';

export interface SmolVlmWeights {
  readonly vision: VitWeights;
  readonly connector: Linear;
  readonly language: LlamaWeights;
}

/** @throws WeightsError */
export async function loadSmolVlmWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { vision, language, scale }: SmolVlmConfig,
): Promise<SmolVlmWeights> {
  const projection = 'connector.modality_projection.proj';
  const path = `${prefixOf(checkpoint, `${projection}.weight`)}${projection}`;
  const inputs = vision.tower.width * scale ** 2;
  return {
    vision: await loadVit(loader, prefixOf(checkpoint, 'embeddings.patch_embedding.weight'), vision, SIGLIP),
    connector: await linear(loader, path, language.tower.width, inputs, { bias: false }),
    language: await loadLlama(loader, checkpoint, language),
  };
}
