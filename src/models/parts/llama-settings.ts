// Settings of LLaMA and what follows it, as config.json has them.

import type { Activation } from '../../kernels/index.ts';
import type { JsonConfig } from '../json-config.ts';
import type { TowerConfig } from '../tower/index.ts';
import type { Biases, BlockNames } from './block.ts';

export interface LlamaSettings {
  readonly tower: TowerConfig;
  /** Modules of a block; default LLaMA's. */
  readonly block?: BlockNames;
  /** Norms whose weights are what the scale is more than 1. */
  readonly unitNorms?: boolean;
  /** What embeddings of tokens are multiplied by; features of images come as they are. */
  readonly embeddingScale?: number;
  /** Logits are kept within ± this: cap · tanh(logit / cap). */
  readonly logitSoftcap?: number | undefined;
  /** Position id of the first token; default 0. */
  readonly firstPlace?: number;
  readonly eps: number;
  readonly biases: Biases;
  /** Whether each head's queries and keys are normalised before they are turned (Qwen3, Gemma 3). */
  readonly headNorms?: boolean;
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** Whether the head is the transposed token embedding. */
  readonly tiedHead: boolean;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

export const LLAMA_BLOCK: BlockNames = {
  attention: {
    queryKeyValue: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
    output: 'self_attn.o_proj',
    norm: 'input_layernorm',
  },
  mlp: {
    input: 'mlp.gate_proj',
    linear: 'mlp.up_proj',
    output: 'mlp.down_proj',
    norm: 'post_attention_layernorm',
    whole: 'mlp',
  },
};

/** What the class of a decoder in transformers has where its files are silent. */
export interface LlamaDefaults {
  readonly modelType: string;
  readonly width: number;
  readonly mlp: number;
  readonly layers: number;
  readonly heads: number;
  /** Default as many as heads. */
  readonly keyHeads?: number;
  /** Default the width's share. */
  readonly headSize?: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly theta: number;
  readonly eps: number;
  /** Kinds of `rope_scaling` that are none. */
  readonly rotaryTypes: readonly string[];
  /** Default silu. */
  readonly activation?: Activation;
  /** Default false. */
  readonly tiedHead?: boolean;
  /** Biases that no file mentions. */
  readonly biases?: Biases;
  readonly headNorms?: boolean;
  readonly stopTokens: readonly number[];
}

/** LlamaConfig's. */
export const LLAMA: LlamaDefaults = {
  modelType: 'llama',
  ...{ width: 4096, mlp: 11008, layers: 32, heads: 32, vocabulary: 32000, maxPositions: 2048 },
  ...{ theta: 10000, eps: 1e-6 },
  rotaryTypes: ['default'],
  stopTokens: [2],
};

/** @throws NoticeError('config') naming the field */
export function readLlama(text: JsonConfig, defaults: LlamaDefaults = LLAMA): LlamaSettings {
  text.choice('model_type', [defaults.modelType], defaults.modelType);
  const width = text.size('hidden_size', defaults.width);
  const heads = text.size('num_attention_heads', defaults.heads);
  const keyHeads = text.size('num_key_value_heads', defaults.keyHeads ?? heads);
  if (!text.has('head_dim') && defaults.headSize === undefined && width % heads !== 0)
    text.fail(`hidden_size ${width} is not a multiple of ${heads} attention heads`);
  const headSize = text.size('head_dim', defaults.headSize ?? width / heads);
  if (heads % keyHeads !== 0)
    text.fail(`${heads} attention heads cannot share ${keyHeads} key and value heads evenly`);
  if (headSize % 2 !== 0) text.fail(`rotary embedding needs heads of even size, not ${headSize}`);
  return {
    tower: {
      name: 'language',
      layers: text.layers('num_hidden_layers', defaults.layers),
      width,
      heads,
      keyHeads,
      headSize,
      mlpWidth: text.size('intermediate_size', defaults.mlp),
      activation: text.choice('hidden_act', ACTIVATIONS, defaults.activation ?? 'silu'),
      norm: 'before',
      causal: true,
      rotary: { theta: rotaryTheta(text, defaults) },
    },
    eps: text.eps('rms_norm_eps', defaults.eps),
    biases: defaults.biases ?? readBiases(text),
    ...(defaults.headNorms && { headNorms: true }),
    vocabulary: text.size('vocab_size', defaults.vocabulary),
    maxPositions: text.size('max_position_embeddings', defaults.maxPositions),
    tiedHead: text.boolean('tie_word_embeddings', defaults.tiedHead ?? false),
    stopTokens: text.tokens('eos_token_id', defaults.stopTokens),
  };
}

function readBiases(text: JsonConfig): Biases {
  const attention = text.boolean('attention_bias', false);
  return { queryKeyValue: attention, output: attention, mlp: text.boolean('mlp_bias', false) };
}

/** Older files have `rope_theta` and `rope_scaling`, newer ones both in `rope_parameters`. */
function rotaryTheta(text: JsonConfig, { theta, rotaryTypes }: LlamaDefaults): number {
  const parameters = text.section('rope_parameters');
  for (const section of [parameters, text.section('rope_scaling')])
    for (const field of ['rope_type', 'type']) section.choice(field, rotaryTypes, 'default');
  return text.positive('rope_theta', parameters.positive('rope_theta', theta));
}
