// From the residual stream of the tower that answers to logits.

import type { Tensor, Work } from '../gpu/index.ts';
import { type Activation, activate, matmul, type NormWeights, normalize } from '../kernels/index.ts';
import type { BlockWeights, Linear } from './tower/index.ts';

/** What lies between the last block and the logits. */
export interface Head {
  /** BertPredictionHeadTransform begins with a dense layer and an activation; others have none. */
  readonly transform?: { readonly dense: Linear; readonly activation: Activation } | undefined;
  readonly norm: NormWeights;
  /** [vocabulary, width] */
  readonly output: Linear;
  /** Logits are kept within ± this. */
  readonly softcap?: number | undefined;
}

/** Weights of the tower that answers, for those who take its residual stream apart. */
export interface Answerer {
  readonly blocks: readonly BlockWeights[];
  readonly head: Head;
}

/**
 * What the head makes of the residual stream, as if no further block came.
 *
 * @param stream rows [R, width] as they leave a block (of a tower that normalises its sums: normalised)
 * @returns logits [R, vocabulary]
 */
export function unembed(w: Work, head: Head, stream: Tensor): Tensor {
  const normalized = headInput(w, head, stream);
  const logits = headLogits(w, head, normalized);
  w.release(normalized);
  return logits;
}

/** What the vocabulary's matrix is multiplied with, [R, width]: the stream through all of the head before it. */
export function headInput(w: Work, { transform, norm }: Head, stream: Tensor): Tensor {
  if (!transform) return normalize(w, stream, norm);
  const { dense, activation } = transform;
  const hidden = matmul(w, stream, dense.weight, { bias: dense.bias, activation });
  const normalized = normalize(w, hidden, norm);
  w.release(hidden);
  return normalized;
}

/** Logits of what {@link headInput} gives. */
export function headLogits(w: Work, { output, softcap: cap }: Head, normalized: Tensor): Tensor {
  const logits = matmul(w, normalized, output.weight, { bias: output.bias });
  if (cap === undefined) return logits;
  const capped = activate(w, logits, { scale: 1, cap });
  w.release(logits);
  return capped;
}
