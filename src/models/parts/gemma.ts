// Gemma's decoders: LLaMA with norms that are 1 + w, scaled embeddings and a tied head. Gemma 2 has a norm on both sides of
// each sublayer, soft caps, and sliding windows in every other layer; Gemma 3 norms of queries and keys in place of the
// caps, and two rotations, one for the sliding layers and one for the others.

import type { JsonConfig } from '../json-config.ts';
import type { Rotary } from '../tower/index.ts';
import type { BlockNames } from './block.ts';
import { LLAMA_BLOCK, type LlamaDefaults, type LlamaSettings, readLlama } from './llama-settings.ts';

type Kind = 'gemma' | 'gemma2' | 'gemma3_text';

/** Defaults of GemmaConfig, Gemma2Config and Gemma3TextConfig. */
const SECOND = { width: 2304, mlp: 9216, layers: 26, heads: 8, keyHeads: 4, headSize: 256 };
const SHARED = { activation: 'gelu_pytorch_tanh', eps: 1e-6, tiedHead: true, stopTokens: [1] } as const;
const DEFAULTS: Readonly<Record<Kind, LlamaDefaults>> = {
  gemma: {
    modelType: 'gemma',
    ...{ width: 3072, mlp: 24576, layers: 28, heads: 16, keyHeads: 16, headSize: 256 },
    ...{ vocabulary: 256000, maxPositions: 8192, theta: 10000, rotaryTypes: ['default'] },
    ...SHARED,
  },
  gemma2: {
    modelType: 'gemma2',
    ...SECOND,
    ...{ vocabulary: 256000, maxPositions: 8192, theta: 10000, rotaryTypes: ['default'] },
    ...SHARED,
  },
  gemma3_text: {
    modelType: 'gemma3_text',
    ...SECOND,
    ...{ vocabulary: 262208, maxPositions: 131072, theta: 1e6, rotaryTypes: ['default', 'linear'] },
    ...{ ...SHARED, headNorms: true },
  },
};

const SANDWICH: BlockNames = {
  attention: { ...LLAMA_BLOCK.attention, outputNorm: 'post_attention_layernorm' },
  mlp: {
    ...LLAMA_BLOCK.mlp,
    norm: 'pre_feedforward_layernorm',
    outputNorm: 'post_feedforward_layernorm',
  },
};
const LAYERS = ['full_attention', 'sliding_attention'] as const;
type LayerType = (typeof LAYERS)[number];

/**
 * @param kinds which of the decoders the family has, the default first
 * @param bidirectional whether prompts see all of themselves (PaliGemma)
 * @throws NoticeError('config') naming the field
 */
export function readGemma(
  text: JsonConfig,
  kinds: readonly Kind[],
  { bidirectional = false, ...own }: Partial<LlamaDefaults> & { readonly bidirectional?: boolean } = {},
): LlamaSettings {
  const kind = text.choice('model_type', kinds, kinds[0]);
  if (text.boolean('use_bidirectional_attention', bidirectional) !== bidirectional)
    text.fail(`"use_bidirectional_attention" is supported as ${bidirectional} only`);
  const { tower, ...settings } = readLlama(text, { ...DEFAULTS[kind], ...own });
  // transformers takes Gemma 1's `gelu` for the approximation, and knows the others' by another name.
  const activation =
    kind === 'gemma'
      ? text.choice('hidden_act', ['gelu_pytorch_tanh', 'gelu'], 'gelu_pytorch_tanh')
      : text.choice('hidden_activation', ['gelu_pytorch_tanh'], 'gelu_pytorch_tanh');
  const layerTypes = kind === 'gemma' ? undefined : layersOf(text, kind, tower.layers);
  const window = layerTypes && text.size('sliding_window', 4096);
  const softcap = kind === 'gemma2' ? 50 : undefined;
  return {
    ...settings,
    block: kind === 'gemma' ? LLAMA_BLOCK : SANDWICH,
    unitNorms: true,
    embeddingScale: Math.fround(Math.sqrt(tower.width)),
    logitSoftcap: kind === 'gemma' ? undefined : text.cap('final_logit_softcapping', softcap && 30),
    tower: {
      ...tower,
      activation: activation === 'gelu' ? 'gelu_pytorch_tanh' : activation,
      ...(layerTypes && {
        windows: layerTypes.map((type) => (type === 'sliding_attention' ? window : undefined)),
        scoreScale: text.positive('query_pre_attn_scalar', 256) ** -0.5,
        scoreSoftcap: text.cap('attn_logit_softcapping', softcap),
      }),
      ...(kind === 'gemma3_text' && layerTypes && rotaries(text, layerTypes)),
    },
  };
}

/** Which layers slide: `layer_types` or, in older files of Gemma 3, every one but each `sliding_window_pattern`th. */
function layersOf(text: JsonConfig, kind: Kind, layers: number): readonly LayerType[] {
  const pattern = kind === 'gemma2' ? 2 : text.size('sliding_window_pattern', 6);
  const types = Array.from(
    { length: layers },
    (_, layer): LayerType => ((layer + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention'),
  );
  return text.choices('layer_types', LAYERS, layers, types);
}

/** Older files have `rope_theta`, `rope_local_base_freq` and `rope_scaling`, newer ones `rope_parameters` by layer type. */
function rotaries(text: JsonConfig, layerTypes: readonly LayerType[]) {
  const byType = text.section('rope_parameters');
  const scaling = text.section('rope_scaling');
  const read = (type: LayerType, theta: number, older?: JsonConfig): Rotary => {
    const section = byType.section(type);
    const linear = (one: JsonConfig) =>
      one.choice('rope_type', ['default', 'linear'], 'default') === 'linear' ? one.positive('factor') : 1;
    return {
      theta: section.positive('rope_theta', theta),
      factor: section.has('rope_type') || !older ? linear(section) : linear(older),
    };
  };
  const rotary = read('full_attention', text.positive('rope_theta', 1e6), scaling);
  const local = read('sliding_attention', text.positive('rope_local_base_freq', 1e4));
  return { rotary, rotaries: layerTypes.map((type) => (type === 'full_attention' ? rotary : local)) };
}
