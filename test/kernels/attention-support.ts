// Attention of a whole plan, for tests.

import type { Tensor, Work } from '../../src/gpu/index.ts';
import {
  type AttentionGroup,
  type AttentionPlan,
  type AttentionShape,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  uploadPlan,
} from '../../src/kernels/index.ts';
import { read } from './support.ts';

/** 0 to count − 1. */
export const all = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Query rows, key rows, and how many of these each query sees, or from which to which (default: all). */
export type GroupRows = readonly [
  queries: readonly number[],
  keys: readonly number[],
  seen?: (query: number) => number | readonly [first: number, end: number],
];

/** Groups whose results go to rows in reverse order: the first query's to the last. */
export function layGroups(groups: readonly GroupRows[]): AttentionGroup[] {
  let out = groups.reduce((sum, [queries]) => sum + queries.length, 0);
  return groups.map(([queries, keys, seen]) => ({
    keys: Uint32Array.from(keys),
    queries: queries.map((query) => {
      const range = seen?.(query) ?? keys.length;
      const [first, end] = typeof range === 'number' ? [0, range] : range;
      return { query, out: --out, first, keys: end };
    }),
  }));
}

/**
 * Runs all chunks of a plan. The scratch memory that scores are written to is filled with NaN before.
 *
 * @returns scores and pattern [entries, heads, pitch]; z is written into the tensor given
 */
export async function attend(
  w: Work,
  { q, k, v, z }: { q: Tensor; k: Tensor; v: Tensor; z: Tensor },
  shape: AttentionShape,
  plan: AttentionPlan,
): Promise<{ scores: Float32Array; pattern: Float32Array }> {
  const { heads } = shape;
  const tables = uploadPlan(w, plan);
  const size = (plan.entries.length / 4) * heads * plan.pitch;
  const scores = new Float32Array(size);
  const pattern = new Float32Array(size);
  for (const chunk of plan.chunks) {
    const at = chunk.firstEntry * heads * plan.pitch;
    const poison = new Float32Array(chunk.entries * heads * plan.pitch).fill(Number.NaN);
    w.release(w.upload(poison, 1, poison.length, 'poison')); // the pool hands it to the next of its size
    const tensor = attentionScores(w, q, k, shape, tables, chunk);
    scores.set(await read(w, tensor), at);
    attentionSoftmax(w, tensor, heads, tables, chunk);
    pattern.set(await read(w, tensor), at);
    attentionValues(w, tensor, v, z, shape, tables, chunk);
    w.release(tensor);
  }
  return { scores, pattern };
}
