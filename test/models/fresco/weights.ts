import type { NormWeights, Vector, Weight } from '../../../src/kernels/index.ts';
import type { BlockWeights, Linear } from '../../../src/models/tower/index.ts';
import { blocks, layerNorm, linear, rmsNorm } from '../../../src/models/weight-maps.ts';
import type { WeightLoader } from '../../../src/weights/index.ts';
import type { FrescoConfig } from './config.ts';

export interface FrescoWeights {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly vision: readonly BlockWeights[];
  readonly visionNorm: NormWeights;
  readonly tokens: Weight;
  readonly language: readonly BlockWeights[];
  readonly norm: NormWeights;
}

export async function loadFrescoWeights(loader: WeightLoader, config: FrescoConfig): Promise<FrescoWeights> {
  const { vision, language, imageSize, patchSize, eps, vocabulary } = config;
  return {
    patches: await linear(loader, 'vision.patches', vision.width, 3 * patchSize ** 2),
    classToken: await loader.vector('vision.class', vision.width),
    positions: await loader.matrix('vision.positions', {
      rows: (imageSize / patchSize) ** 2 + 1,
      columns: vision.width,
    }),
    vision: await blocks(vision, (layer) => visionBlock(loader, config, `vision.layers.${layer}`)),
    visionNorm: await layerNorm(loader, 'vision.norm', vision.width, eps),
    tokens: await loader.matrix('decoder.tokens', { rows: vocabulary, columns: language.width }),
    language: await blocks(language, (layer) => decoderBlock(loader, config, `decoder.layers.${layer}`)),
    norm: await rmsNorm(loader, 'decoder.norm', language.width, eps),
  };
}

async function visionBlock(loader: WeightLoader, config: FrescoConfig, path: string): Promise<BlockWeights> {
  const { width, mlpWidth } = config.vision;
  const { eps } = config;
  return {
    attention: {
      queryKeyValue: await linear(loader, `${path}.qkv`, 3 * width, width),
      output: await linear(loader, `${path}.out`, width, width),
      norm: await layerNorm(loader, `${path}.norm1`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${path}.fc1`, mlpWidth, width),
      output: await linear(loader, `${path}.fc2`, width, mlpWidth),
      norm: await layerNorm(loader, `${path}.norm2`, width, eps),
    },
  };
}

async function decoderBlock(loader: WeightLoader, config: FrescoConfig, path: string): Promise<BlockWeights> {
  const { width, mlpWidth, heads, keyHeads, headSize } = config.language;
  const { eps } = config;
  const bias = { bias: false };
  const [queries, keys] = [heads * headSize, keyHeads * headSize];
  const [self, cross] = [`${path}.self`, `${path}.cross`];
  return {
    attention: {
      queryKeyValue: await linear(
        loader,
        [`${self}.q`, `${self}.k`, `${self}.v`],
        queries + 2 * keys,
        width,
        bias,
      ),
      output: await linear(loader, `${self}.o`, width, queries, bias),
      norm: await rmsNorm(loader, `${path}.norm1`, width, eps),
    },
    cross: {
      query: await linear(loader, `${cross}.q`, queries, width, bias),
      keyValue: await linear(loader, [`${cross}.k`, `${cross}.v`], 2 * keys, config.vision.width, bias),
      output: await linear(loader, `${cross}.o`, width, queries, bias),
      norm: await rmsNorm(loader, `${path}.norm2`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${path}.gate`, mlpWidth, width, bias),
      linear: await linear(loader, `${path}.up`, mlpWidth, width, bias),
      output: await linear(loader, `${path}.down`, width, mlpWidth, bias),
      norm: await rmsNorm(loader, `${path}.norm3`, width, eps),
    },
  };
}
