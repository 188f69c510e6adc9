// Attention in three kernels: scores, softmax, values. Fusing them gains nothing where it was measured, and the scores
// and patterns in between are what an interpretability tool wants to read and edit.

import type { Tensor, Work } from '../gpu/index.ts';
import {
  type AttentionShape,
  type AttentionTables,
  computeScores,
  computeSoftmax,
  computeValues,
  type ScoresKernel,
} from './attention-kernels.ts';
import type { AttentionChunk } from './attention-plan.ts';
import {
  keysBackward,
  patternBackward,
  queriesBackward,
  scoresBackward,
  softmaxBackward,
} from './backward/attention.ts';

/**
 * scale · Q Kᵀ, softcapped where the shape says so, for one chunk of a plan; −infinity for keys that a query does not see.
 *
 * @param q rows [heads · d_head]
 * @param k rows [keyHeads · d_head]
 * @param shader all give the same bits
 * @returns [entries, heads · pitch]
 */
export function attentionScores(
  w: Work,
  q: Tensor,
  k: Tensor,
  shape: AttentionShape,
  tables: AttentionTables,
  chunk: AttentionChunk,
  shader?: ScoresKernel,
): Tensor {
  const scores = computeScores(w, q, k, shape, tables, chunk, { shader });
  const { plan } = tables;
  w.tape?.note({
    operator: 'attention scores',
    reads: [q, k],
    writes: [scores],
    saves: [q, k],
    backward: (b, [query, key]) => {
      const gradient = b.gradient(scores) as Tensor;
      scoresBackward(b.w, query, key, gradient, shape, plan, chunk);
      const dq = b.into(q);
      if (dq) queriesBackward(b.w, gradient, key, shape, plan, chunk, dq);
      const dk = b.into(k);
      if (dk) keysBackward(b.w, gradient, query, 'queries', shape, plan, chunk, dk);
    },
  });
  return scores;
}

/**
 * Turns a chunk's scores into its pattern, in place; the padding of a row becomes 0.
 *
 * @param cut whether entries may have no key left; their pattern is 0
 */
export function attentionSoftmax(
  w: Work,
  scores: Tensor,
  heads: number,
  tables: AttentionTables,
  chunk: AttentionChunk,
  cut = false,
): void {
  w.tape?.changing(scores);
  computeSoftmax(w, scores, heads, tables, chunk, cut);
  const { plan } = tables;
  w.tape?.note({
    operator: 'attention softmax',
    reads: [scores],
    writes: [scores],
    saves: [scores],
    backward: (b, [pattern]) =>
      softmaxBackward(b.w, pattern, b.gradient(scores) as Tensor, heads, plan, chunk),
  });
}

/** pattern · V for one chunk, written into the rows of `z` [*, heads · d_head] that its entries name. */
export function attentionValues(
  w: Work,
  pattern: Tensor,
  v: Tensor,
  z: Tensor,
  shape: AttentionShape,
  tables: AttentionTables,
  chunk: AttentionChunk,
): void {
  computeValues(w, pattern, v, z, shape, tables, chunk);
  const { plan } = tables;
  w.tape?.note({
    operator: 'attention values',
    reads: [pattern, v],
    writes: [z],
    saves: [pattern, v],
    backward: (b, [p, value]) => {
      const dz = b.gradient(z) as Tensor;
      const dPattern = b.into(pattern);
      if (dPattern) patternBackward(b.w, dz, value, shape, plan, chunk, dPattern);
      const dv = b.into(v);
      if (dv) keysBackward(b.w, p, dz, 'results', shape, plan, chunk, dv);
    },
  });
}
