// Where LlavaForConditionalGeneration keeps the tower's parameters.

import type { NormWeights, Vector, Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { BlockWeights, Linear } from '../tower/index.ts';
import { blocks, convolution, layerNorm, linear, prefixOf, rmsNorm } from '../weight-maps.ts';
import type { LlavaConfig } from './config.ts';

export interface LlavaWeights {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  /** `pre_layrnorm` */
  readonly visionNorm: NormWeights;
  readonly vision: readonly BlockWeights[];
  readonly projector: { readonly input: Linear; readonly output: Linear };
  readonly tokens: Weight;
  readonly language: readonly BlockWeights[];
  readonly norm: NormWeights;
  readonly head: Weight;
}

/**
 * The modules' paths are found by a tensor that each must have, so all layouts of transformers load:
 * `language_model.model.…`, and since 2025 `model.language_model.…`.
 *
 * @throws WeightsError
 */
export async function loadLlavaWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  config: LlavaConfig,
): Promise<LlavaWeights> {
  const { vision, language, patchSize, imageSize, vocabulary, visionEps, languageEps, biases } = config;
  const clip = prefixOf(checkpoint, 'embeddings.class_embedding');
  const projector = prefixOf(checkpoint, 'multi_modal_projector.linear_1.weight');
  const llama = prefixOf(checkpoint, 'embed_tokens.weight');
  const projectorBias = { bias: biases.projector };
  const head = { rows: vocabulary, columns: language.width };
  const patches = await convolution(
    loader,
    `${clip}embeddings.patch_embedding`,
    vision.width,
    3 * patchSize ** 2,
    {
      bias: false,
    },
  );
  const tokens = await loader.matrix(`${llama}embed_tokens.weight`, head);
  return {
    patches,
    classToken: await loader.vector(`${clip}embeddings.class_embedding`, vision.width),
    positions: await loader.matrix(`${clip}embeddings.position_embedding.weight`, {
      rows: (imageSize / patchSize) ** 2 + 1,
      columns: vision.width,
    }),
    visionNorm: await layerNorm(loader, `${clip}pre_layrnorm`, vision.width, visionEps),
    vision: await blocks(vision, (layer) => clipBlock(loader, config, `${clip}encoder.layers.${layer}`)),
    projector: {
      input: await linear(
        loader,
        `${projector}multi_modal_projector.linear_1`,
        language.width,
        vision.width,
        projectorBias,
      ),
      output: await linear(
        loader,
        `${projector}multi_modal_projector.linear_2`,
        language.width,
        language.width,
        projectorBias,
      ),
    },
    tokens,
    language: await blocks(language, (layer) => llamaBlock(loader, config, `${llama}layers.${layer}`)),
    norm: await rmsNorm(loader, `${llama}norm`, language.width, languageEps),
    head: config.tiedHead
      ? tokens
      : await loader.matrix(`${prefixOf(checkpoint, 'lm_head.weight')}lm_head.weight`, head),
  };
}

async function clipBlock(loader: WeightLoader, config: LlavaConfig, prefix: string): Promise<BlockWeights> {
  const { width, mlpWidth } = config.vision;
  const eps = config.visionEps;
  const self = `${prefix}.self_attn`;
  return {
    attention: {
      queryKeyValue: await linear(
        loader,
        [`${self}.q_proj`, `${self}.k_proj`, `${self}.v_proj`],
        3 * width,
        width,
      ),
      output: await linear(loader, `${self}.out_proj`, width, width),
      norm: await layerNorm(loader, `${prefix}.layer_norm1`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${prefix}.mlp.fc1`, mlpWidth, width),
      output: await linear(loader, `${prefix}.mlp.fc2`, width, mlpWidth),
      norm: await layerNorm(loader, `${prefix}.layer_norm2`, width, eps),
    },
  };
}

async function llamaBlock(loader: WeightLoader, config: LlavaConfig, prefix: string): Promise<BlockWeights> {
  const { width, mlpWidth, heads, keyHeads, headSize } = config.language;
  const eps = config.languageEps;
  const self = `${prefix}.self_attn`;
  const attention = { bias: config.biases.attention };
  const mlp = { bias: config.biases.mlp };
  return {
    attention: {
      queryKeyValue: await linear(
        loader,
        [`${self}.q_proj`, `${self}.k_proj`, `${self}.v_proj`],
        (heads + 2 * keyHeads) * headSize,
        width,
        attention,
      ),
      output: await linear(loader, `${self}.o_proj`, width, heads * headSize, attention),
      norm: await rmsNorm(loader, `${prefix}.input_layernorm`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${prefix}.mlp.gate_proj`, mlpWidth, width, mlp),
      linear: await linear(loader, `${prefix}.mlp.up_proj`, mlpWidth, width, mlp),
      output: await linear(loader, `${prefix}.mlp.down_proj`, width, mlpWidth, mlp),
      norm: await rmsNorm(loader, `${prefix}.post_attention_layernorm`, width, eps),
    },
  };
}
