// Where Gemma3ForConditionalGeneration keeps its parameters: modules are found by their last names, so every release's layout
// loads.

import type { NormWeights, Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type LlamaWeights, loadLlama } from '../parts/llama.ts';
import { loadVit, SIGLIP, type VitWeights } from '../parts/vit.ts';
import { prefixOf, rmsNorm } from '../weight-maps.ts';
import type { Gemma3Config } from './config.ts';

export interface Gemma3Weights {
  readonly vision: VitWeights;
  readonly projector: { readonly norm: NormWeights; readonly weight: Weight };
  readonly language: LlamaWeights;
}

/** @throws WeightsError */
export async function loadGemma3Weights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { vision, language }: Gemma3Config,
): Promise<Gemma3Weights> {
  const { width } = vision.tower;
  const projection = 'mm_input_projection_weight';
  const norm = 'mm_soft_emb_norm';
  return {
    vision: await loadVit(loader, prefixOf(checkpoint, 'embeddings.patch_embedding.weight'), vision, SIGLIP),
    projector: {
      norm: await rmsNorm(loader, prefixOf(checkpoint, `${norm}.weight`) + norm, width, vision.eps, {
        unit: true,
      }),
      // Stored as what rows are multiplied with, unlike the weight of a linear layer.
      weight: await loader.transposed(prefixOf(checkpoint, projection) + projection, {
        rows: language.tower.width,
        columns: width,
      }),
    },
    language: await loadLlama(loader, checkpoint, language),
  };
}
