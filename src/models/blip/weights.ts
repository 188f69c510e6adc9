// Where BlipForQuestionAnswering keeps the tower's parameters.

import type { NormWeights, Vector, Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { BlockWeights, Linear, TowerConfig } from '../tower/index.ts';
import { blocks, convolution, linear, layerNorm as norm } from '../weight-maps.ts';
import type { BlipConfig } from './config.ts';

export interface BlipWeights {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly vision: readonly BlockWeights[];
  readonly visionNorm: NormWeights;
  readonly textEncoder: TextWeights;
  readonly textDecoder: TextWeights;
  readonly headTransform: Linear;
  readonly headNorm: NormWeights;
  readonly head: Linear;
}

export interface TextWeights {
  readonly tokens: Weight;
  readonly positions: Weight;
  readonly norm: NormWeights;
  readonly blocks: readonly BlockWeights[];
}

export async function loadBlipWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  config: BlipConfig,
): Promise<BlipWeights> {
  const { vision, patchSize, imageSize, textDecoder, vocabulary, visionEps, textEps } = config;
  const embeddings = 'vision_model.embeddings';
  const predictions = 'text_decoder.cls.predictions';
  const { width } = textDecoder;
  // The bias of the head has two names for one parameter; the second overwrites the first when transformers loads it.
  // A head that is tied to the embeddings may be left out.
  const headBias = [`${predictions}.decoder.bias`, `${predictions}.bias`].find((name) =>
    checkpoint.has(name),
  );
  const headWeight = checkpoint.has(`${predictions}.decoder.weight`)
    ? `${predictions}.decoder.weight`
    : 'text_decoder.bert.embeddings.word_embeddings.weight';
  return {
    patches: await convolution(loader, `${embeddings}.patch_embedding`, vision.width, 3 * patchSize ** 2),
    classToken: await loader.vector(`${embeddings}.class_embedding`, vision.width),
    positions: await loader.matrix(`${embeddings}.position_embedding`, {
      rows: (imageSize / patchSize) ** 2 + 1,
      columns: vision.width,
    }),
    vision: await blocks(vision, (layer) => visionBlock(loader, config, layer)),
    visionNorm: await norm(loader, 'vision_model.post_layernorm', vision.width, visionEps),
    textEncoder: await text(loader, config, config.textEncoder, 'text_encoder'),
    textDecoder: await text(loader, config, textDecoder, 'text_decoder.bert'),
    headTransform: await linear(loader, `${predictions}.transform.dense`, width, width),
    headNorm: await norm(loader, `${predictions}.transform.LayerNorm`, width, textEps),
    head: {
      weight: await loader.matrix(headWeight, { rows: vocabulary, columns: width }),
      bias: headBias ? await loader.vector(headBias, vocabulary) : undefined,
    },
  };
}

async function visionBlock(loader: WeightLoader, config: BlipConfig, layer: number): Promise<BlockWeights> {
  const { width, mlpWidth } = config.vision;
  const prefix = `vision_model.encoder.layers.${layer}`;
  const eps = config.visionEps;
  return {
    attention: {
      queryKeyValue: await linear(loader, `${prefix}.self_attn.qkv`, 3 * width, width),
      output: await linear(loader, `${prefix}.self_attn.projection`, width, width),
      norm: await norm(loader, `${prefix}.layer_norm1`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${prefix}.mlp.fc1`, mlpWidth, width),
      output: await linear(loader, `${prefix}.mlp.fc2`, width, mlpWidth),
      norm: await norm(loader, `${prefix}.layer_norm2`, width, eps),
    },
  };
}

async function text(
  loader: WeightLoader,
  config: BlipConfig,
  tower: TowerConfig,
  prefix: string,
): Promise<TextWeights> {
  const { width } = tower;
  const embeddings = `${prefix}.embeddings`;
  const words = `${embeddings}.word_embeddings.weight`;
  const places = `${embeddings}.position_embeddings.weight`;
  const columns = width;
  return {
    tokens: await loader.matrix(words, { rows: config.vocabulary, columns }, { like: [places] }),
    positions: await loader.matrix(places, { rows: config.maxPositions, columns }, { like: [words] }),
    norm: await norm(loader, `${embeddings}.LayerNorm`, width, config.textEps),
    blocks: await blocks(tower, (layer) =>
      textBlock(loader, config, tower, `${prefix}.encoder.layer.${layer}`),
    ),
  };
}

async function textBlock(
  loader: WeightLoader,
  config: BlipConfig,
  { width, mlpWidth }: TowerConfig,
  prefix: string,
): Promise<BlockWeights> {
  const eps = config.textEps;
  const self = `${prefix}.attention.self`;
  const cross = `${prefix}.crossattention.self`;
  return {
    attention: {
      queryKeyValue: await linear(
        loader,
        [`${self}.query`, `${self}.key`, `${self}.value`],
        3 * width,
        width,
      ),
      output: await linear(loader, `${prefix}.attention.output.dense`, width, width),
      norm: await norm(loader, `${prefix}.attention.output.LayerNorm`, width, eps),
    },
    cross: {
      query: await linear(loader, `${cross}.query`, width, width),
      keyValue: await linear(loader, [`${cross}.key`, `${cross}.value`], 2 * width, config.vision.width),
      output: await linear(loader, `${prefix}.crossattention.output.dense`, width, width),
      norm: await norm(loader, `${prefix}.crossattention.output.LayerNorm`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${prefix}.intermediate.dense`, mlpWidth, width),
      output: await linear(loader, `${prefix}.output.dense`, width, mlpWidth),
      norm: await norm(loader, `${prefix}.output.LayerNorm`, width, eps),
    },
  };
}
