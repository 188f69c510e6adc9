import {
  type LlamaWeights,
  layerNorm,
  linear,
  loadBlocks,
  rmsNorm,
  type VitWeights,
  type WeightLoader,
} from '../../../src/families.ts';
import type { FrescoConfig } from './config.ts';
import { languageBlocks, visionBlocks } from './names.ts';

export interface FrescoWeights {
  readonly vision: VitWeights;
  readonly language: LlamaWeights;
}

export async function loadFrescoWeights(loader: WeightLoader, config: FrescoConfig): Promise<FrescoWeights> {
  const { vision, language } = config;
  const { imageSize, patchSize, eps } = vision;
  const { width } = vision.tower;
  const columns = language.tower.width;
  const tokens = await loader.matrix('decoder.tokens', { rows: language.vocabulary, columns });
  return {
    vision: {
      patches: await linear(loader, 'vision.patches', width, 3 * patchSize ** 2),
      classToken: await loader.vector('vision.class', width),
      positions: await loader.matrix('vision.positions', {
        rows: (imageSize / patchSize) ** 2 + 1,
        columns: width,
      }),
      norm: await layerNorm(loader, 'vision.norm', width, eps),
      blocks: await loadBlocks(loader, visionBlocks(config), { eps }),
    },
    language: {
      tokens,
      head: tokens,
      norm: await rmsNorm(loader, 'decoder.norm', columns, eps),
      blocks: await loadBlocks(loader, languageBlocks(config), {
        eps,
        rms: true,
        biases: language.biases,
        memoryWidth: width,
      }),
    },
  };
}
