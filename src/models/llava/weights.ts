// Where LlavaForConditionalGeneration keeps its parameters.

import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type LlamaWeights, loadLlama } from '../parts/llama.ts';
import type { ProjectorWeights } from '../parts/projector.ts';
import { loadVit, type VitWeights } from '../parts/vit.ts';
import { linear, prefixOf } from '../weight-maps.ts';
import type { LlavaConfig } from './config.ts';

export interface LlavaWeights {
  readonly vision: VitWeights;
  readonly projector: ProjectorWeights;
  readonly language: LlamaWeights;
}

/**
 * The modules' paths are found by a tensor that each must have, so all layouts of transformers load: `language_model.model.…` of
 * the hub and `save_pretrained`, and `model.language_model.…` of state dicts since 4.52.
 *
 * @throws WeightsError
 */
export async function loadLlavaWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { vision, visionNames, language, projector }: LlavaConfig,
): Promise<LlavaWeights> {
  const { width } = language.tower;
  const { bias } = projector;
  const tower = prefixOf(checkpoint, 'embeddings.patch_embedding.weight');
  const path = `${prefixOf(checkpoint, 'multi_modal_projector.linear_1.weight')}multi_modal_projector`;
  return {
    vision: await loadVit(loader, tower, vision, visionNames),
    projector: {
      input: await linear(loader, `${path}.linear_1`, width, vision.tower.width, { bias }),
      output: await linear(loader, `${path}.linear_2`, width, width, { bias }),
    },
    language: await loadLlama(loader, checkpoint, language),
  };
}
