import type { AttentionShape } from '../../src/kernels/index.ts';
import { scaling } from './activation.ts';
import { dot, type Matrix, sum } from './matrix.ts';

/** One query row and the key rows it sees, in order of position. */
export interface Query {
  readonly query: number;
  readonly keys: readonly number[];
}

/** Of one query and head: scores and pattern over the keys it sees, z over features. */
export interface HeadResult {
  readonly scores: readonly number[];
  readonly pattern: readonly number[];
  readonly z: readonly number[];
}

/** torch.nn.functional.softmax over one row; over none, nothing, and z is 0 then. */
export function softmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

/**
 * softmax(scale · Q Kᵀ) V, one head at a time, scale 1 / √d_head unless the shape says otherwise, scores softcapped
 * where it says so (cap · tanh(score / cap), eager_attention_forward of Gemma 2); query head h uses key head ⌊h · keyHeads / heads⌋ (repeat_kv).
 * Masking is leaving out: a query attends to the keys it lists. Bidirectional: all rows; causal: its own position
 * and those before; cross: rows of what is attended to.
 *
 * @returns per query, per head
 */
export function attention(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  { heads, keyHeads, headSize: D, scoreScale = D ** -0.5, scoreSoftcap: cap }: AttentionShape,
  queries: readonly Query[],
): HeadResult[][] {
  const features = Array.from({ length: D }, (_, d) => d);
  const headOf = (x: Matrix, h: number) => x.map((row) => Array.from(row).slice(h * D, (h + 1) * D));
  const perHead = Array.from({ length: heads }, (_, h) => {
    const keyHead = Math.floor((h * keyHeads) / heads);
    const [qh, kh, vh] = [headOf(q, h), headOf(k, keyHead), headOf(v, keyHead)];
    return queries.map(({ query, keys }): HeadResult => {
      const scaled = keys.map((key) => dot(qh[query]!, kh[key]!) * scoreScale);
      const scores = cap === undefined ? scaled : scaled.map((score) => scaling(score, { scale: 1, cap }));
      const pattern = softmax(scores);
      const z = features.map((d) => sum(keys.map((key, j) => pattern[j]! * vh[key]![d]!)));
      return { scores, pattern, z };
    });
  });
  return queries.map((_, i) => perHead.map((results) => results[i]!));
}
