// What distinguishes one transformer from another, as data.

import type { Activation, LinearWeight, NormWeights, Vector } from '../../kernels/index.ts';
import type { Rotary } from './rotary.ts';

export interface TowerConfig {
  /** Prefix of the tower's hook names. */
  readonly name: string;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly width: number;
  readonly heads: number;
  /** Key and value heads; fewer than `heads` where query heads share them. */
  readonly keyHeads: number;
  readonly headSize: number;
  readonly mlpWidth: number;
  readonly activation: Activation;
  /** Whether sublayers normalise their input (ViT, CLIP, LLaMA) or their sum with the residual stream (BERT). */
  readonly norm: 'before' | 'after';
  /** Whether a position sees only itself and what stands before it. */
  readonly causal: boolean;
  /** Of a causal tower by layer: how many positions a query sees, itself the last; where there is none, all. */
  readonly windows?: readonly (number | undefined)[];
  /** Rotary position embedding of queries and keys, or none. */
  readonly rotary: Rotary | undefined;
  /** By layer, where they differ; default `rotary`. */
  readonly rotaries?: readonly Rotary[];
  /** What products of query and key are multiplied by; default d_head^−½. */
  readonly scoreScale?: number;
  /** Scores are kept within ± this before they are masked: cap · tanh(score / cap). */
  readonly scoreSoftcap?: number;
  /**
   * How many learned queries stand before the words in every sequence (Q-Former). Only they attend to the other tower, and
   * they have an MLP of their own (`queryMlp`).
   */
  readonly queries?: number;
  /** Cross-attention is in every n-th block, from the first on; default in all, where there is any. */
  readonly crossEvery?: number;
}

/** Whether a block of a tower that attends to another one does so. */
export function hasCross({ crossEvery = 1 }: TowerConfig, layer: number): boolean {
  return layer % crossEvery === 0;
}

export interface Linear {
  readonly weight: LinearWeight;
  readonly bias: Vector | undefined;
}

export interface BlockWeights {
  readonly attention: {
    /** [(heads + 2 · keyHeads) · d_head, width]: queries, then keys, then values. */
    readonly queryKeyValue: Linear;
    /** RMSNorms of each head's queries and keys by itself, before they are rotated. */
    readonly queryNorm?: NormWeights;
    readonly keyNorm?: NormWeights;
    readonly output: Linear;
    readonly norm: NormWeights;
    /** Of the output, before it is added to the residual stream: with `norm` a sandwich. */
    readonly outputNorm?: NormWeights;
  };
  readonly cross?: {
    readonly query: Linear;
    /** [2 · keyHeads · d_head, memory width] */
    readonly keyValue: Linear;
    readonly output: Linear;
    readonly norm: NormWeights;
  };
  readonly mlp: MlpWeights;
  /** That of the queries; `mlp` is that of the words then. */
  readonly queryMlp?: MlpWeights;
}

export interface MlpWeights {
  /** Into the activation (gate_proj of a gated MLP). */
  readonly input: Linear;
  /** The factor of a gated MLP (up_proj). */
  readonly linear?: Linear;
  readonly output: Linear;
  readonly norm: NormWeights;
  readonly outputNorm?: NormWeights;
}
