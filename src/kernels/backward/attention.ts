// Gradients of attention: from z to pattern and values, from pattern to scores, from scores to queries and keys.

import type { Share, Tensor, Work } from '../../gpu/index.ts';
import {
  type AttentionShape,
  computeScores,
  computeValues,
  isAligned,
  lanesOf,
  releasePlan,
  uploadPlan,
} from '../attention-kernels.ts';
import type { AttentionChunk, AttentionPlan } from '../attention-plan.ts';
import { ELEMENT_THREADS, elementGrid } from '../grid.ts';
import { kernel, reductionFor } from '../source.ts';
import { keyTiles } from './key-tiles.ts';

/** From the gradient of z [*, heads · d_head] to that of a chunk's pattern: dz · Vᵀ. */
export function patternBackward(
  w: Work,
  dz: Tensor,
  v: Tensor,
  shape: AttentionShape,
  plan: AttentionPlan,
  chunk: AttentionChunk,
  { tensor, accumulate }: Share,
): void {
  if (accumulate) throw new Error('a pattern is read by one product');
  const tables = uploadPlan(w, turned(plan));
  const { heads, keyHeads, headSize } = shape;
  computeScores(w, dz, v, { heads, keyHeads, headSize, scoreScale: 1 }, tables, chunk, { out: tensor });
  releasePlan(w, tables);
}

/** From the gradient of a pattern to that of its scores, in place. */
export function softmaxBackward(
  w: Work,
  pattern: Tensor,
  gradient: Tensor,
  heads: number,
  plan: AttentionPlan,
  chunk: AttentionChunk,
): void {
  const reduction = reductionFor(w.capabilities);
  const entries = w.shareWords(plan.entries, 'attention entries');
  w.dispatch(
    kernel('attention_softmax_backward', [reduction.by, reduction.WG], () => ({ reduction })),
    { entries, P: pattern.buffer, G: gradient.buffer },
    { H: heads, pitch: plan.pitch, firstEntry: chunk.firstEntry },
    [heads, chunk.entries, 1],
  );
  w.release(entries);
}

/** From the gradient of scores to that of the products Q · Kᵀ, in place. Scores with a soft cap are computed again. */
export function scoresBackward(
  w: Work,
  q: Tensor,
  k: Tensor,
  gradient: Tensor,
  shape: AttentionShape,
  plan: AttentionPlan,
  chunk: AttentionChunk,
): void {
  const { headSize, scoreScale = 1 / Math.sqrt(headSize), scoreSoftcap: cap } = shape;
  const tables = cap === undefined ? undefined : uploadPlan(w, plan);
  const scores = tables && computeScores(w, q, k, shape, tables, chunk);
  const source = kernel('attention_scores_backward', [cap !== undefined && 'softcap'], () => ({
    constants: { WG: ELEMENT_THREADS },
    settings: { SOFTCAP: cap !== undefined },
  }));
  const count = gradient.rows * gradient.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    source,
    { G: gradient.buffer, S: scores?.buffer },
    { count, threads, scale: scoreScale, cap: cap ?? 1 },
    groups,
  );
  if (scores) w.release(scores);
  if (tables) releasePlan(w, tables);
}

/** From the gradient of a chunk's products Q · Kᵀ to that of its queries; their rows are overwritten. */
export function queriesBackward(
  w: Work,
  gradient: Tensor,
  k: Tensor,
  shape: AttentionShape,
  plan: AttentionPlan,
  chunk: AttentionChunk,
  dq: Share,
): void {
  begin(w, dq);
  const tables = uploadPlan(w, turned(plan));
  computeValues(w, gradient, k, dq.tensor, shape, tables, chunk);
  releasePlan(w, tables);
}

/**
 * Adds to the gradient of keys or values what a chunk's entries make of them.
 *
 * @param p of a chunk: the pattern for values, the gradient of Q · Kᵀ for keys
 * @param x the gradient of z for values, the queries for keys
 * @param of which of an entry's rows x has
 */
export function keysBackward(
  w: Work,
  p: Tensor,
  x: Tensor,
  of: 'queries' | 'results',
  { heads, keyHeads, headSize }: AttentionShape,
  plan: AttentionPlan,
  chunk: AttentionChunk,
  share: Share,
): void {
  const { tensor } = share;
  begin(w, share);
  const { SG, SUBGROUPS, enable } = lanesOf(w);
  const step = SUBGROUPS ? SG : 4;
  const quads = SUBGROUPS ? Math.max(1, 12 / SG) | 0 : 2;
  const vec4 = isAligned(x, headSize);
  const source = kernel(
    'attention_keys_backward',
    [`${quads}x${step}x${SG}`, SUBGROUPS && 'subgroups', vec4 && 'vec4'],
    () => ({ constants: { SG, SUBGROUPS, VEC4: vec4, STEP: step, QUADS: quads }, enable }),
  );
  const column = of === 'queries' ? 0 : 1;
  const rows = Uint32Array.from({ length: plan.entries.length / 4 }, (_, e) => plan.entries[4 * e + column]!);
  const table = w.shareWords(rows, 'rows of entries');
  const keys = w.shareWords(plan.keys, 'attention keys');
  const dispatches = keyTiles(plan, chunk, quads * step);
  const most = w.capabilities.limits.maxComputeWorkgroupsPerDimension;
  for (const { words, count, entryKeys } of dispatches) {
    const tiles = w.shareWords(words, 'tiles of keys');
    for (let first = 0; first < count; first += most)
      w.dispatch(
        source,
        { P: p.buffer, X: x.buffer, rows: table, tiles, keys, K: tensor.buffer },
        {
          H: heads,
          G: keyHeads,
          D: headSize,
          pitch: plan.pitch,
          xOffset: x.offset,
          xStride: x.stride,
          kOffset: tensor.offset,
          kStride: tensor.stride,
          firstTile: first,
          firstEntry: chunk.firstEntry,
        },
        [Math.ceil(headSize / (4 * SG)), Math.min(most, count - first), keyHeads],
        (2 * heads * headSize * entryKeys * Math.min(most, count - first)) / count,
      );
    w.release(tiles);
  }
  w.release(table, keys);
}

/** Zeros where nothing has been added yet. */
function begin(w: Work, { tensor: { buffer, rows, columns }, accumulate }: Share): void {
  if (!accumulate) w.clear(buffer, 0, 4 * rows * columns);
}

/** A plan whose queries are its results and the other way round; every key that counts is seen. */
function turned(plan: AttentionPlan): AttentionPlan {
  const entries = new Uint32Array(plan.entries.length);
  for (let e = 0; e < entries.length; e += 4) {
    const [query = 0, out = 0, , counts = 0] = plan.entries.subarray(e, e + 4);
    entries.set([out, query, counts, counts], e);
  }
  return { ...plan, entries, firsts: undefined };
}
