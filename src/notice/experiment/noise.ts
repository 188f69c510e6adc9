// Gaussian noise on image embeddings: the corruption that the paper compares semantic pairs with. As in causal tracing
// (Meng et al. 2022) the noise has `scale` (3) times the standard deviation of the embeddings; Palit et al. 2023 use
// it on BLIP's images.

import { standardDeviation } from '../../analysis/statistics.ts';
import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { runWithCache } from '../../patching/index.ts';
import { seeded } from '../../random.ts';

/** Hook point of the embeddings that noise is added to: patches with their positions, before the first block. */
export const NOISE_HOOK = 'vision.hook_embed';

/** Standard deviation of the image embeddings of some samples, all elements together (ddof 0). */
export async function embeddingDeviation(
  model: VisionLanguageModel,
  samples: readonly Sample[],
): Promise<number> {
  const { cache } = await runWithCache(model, samples, { names: NOISE_HOOK, stopAfter: NOISE_HOOK });
  const values = await cache.read(NOISE_HOOK);
  cache.release();
  return standardDeviation(values, 0);
}

/** Noise for one sample's image: [positions, width], the same for the same seed. */
export function drawNoise(model: VisionLanguageModel, deviation: number, seed: string): Float32Array {
  const random = seeded(seed);
  const width = model.configs.find(({ name }) => name === 'vision')?.width ?? 0;
  return Float32Array.from({ length: model.imagePositions * width }, () => deviation * random.normal());
}
