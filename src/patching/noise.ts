// Gaussian noise on image embeddings: the corruption that the paper compares semantic pairs with. As in causal tracing
// (Meng et al. 2022) the noise has `scale` (3) times the standard deviation of the embeddings; Palit et al. 2023 use
// it on BLIP's images.

import type { Sample, VisionLanguageModel } from '../models/index.ts';
import { seeded } from '../random.ts';
import { towerOf } from './names.ts';
import { runWithCache } from './run.ts';

/**
 * Standard deviation of the image embeddings of all samples, all elements together (ddof 0). Samples come some at a time;
 * their means and squares are joined as Chan, Golub and LeVeque (1979) do.
 */
export async function embeddingDeviation(
  model: VisionLanguageModel,
  groups: Iterable<readonly Sample[]> | AsyncIterable<readonly Sample[]>,
): Promise<number> {
  const hook = model.imageEmbedding;
  let count = 0;
  let centre = 0;
  let squares = 0;
  for await (const samples of groups) {
    const { cache } = await runWithCache(model, samples, { names: hook, stopAfter: hook });
    const values = await cache.read(hook);
    cache.release();
    const own = values.reduce((sum, value) => sum + value, 0) / values.length;
    const total = count + values.length;
    for (const value of values) squares += (value - own) ** 2;
    squares += ((own - centre) ** 2 * count * values.length) / total;
    centre += ((own - centre) * values.length) / total;
    count = total;
  }
  return Math.sqrt(squares / count);
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
