// Gaussian noise on image embeddings: the corruption that the paper compares semantic pairs with. As in causal tracing
// (Meng et al. 2022) the noise has `scale` (3) times the standard deviation of the embeddings; Palit et al. 2023 use
// it on BLIP's images.

import { standardDeviation } from '../../analysis/statistics.ts';
import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { runWithCache, towerOf } from '../../patching/index.ts';
import { seeded } from '../../random.ts';

/** Standard deviation of the image embeddings of some samples, all elements together (ddof 0). */
export async function embeddingDeviation(
  model: VisionLanguageModel,
  samples: readonly Sample[],
): Promise<number> {
  const hook = model.imageEmbedding;
  const { cache } = await runWithCache(model, samples, { names: hook, stopAfter: hook });
  const values = await cache.read(hook);
  cache.release();
  return standardDeviation(values, 0);
}

/** Noise for the embeddings of one sample's images: [positions, width], the same for the same seed. */
export function drawNoise(
  model: VisionLanguageModel,
  { images }: Sample,
  deviation: number,
  seed: string,
): Float32Array {
  const random = seeded(seed);
  const width = model.configs.find(({ name }) => name === towerOf(model.imageEmbedding))?.width ?? 0;
  const length = model.imagePositions(images) * width;
  return Float32Array.from({ length }, () => deviation * random.normal());
}
