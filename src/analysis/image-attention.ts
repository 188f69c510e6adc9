// Attention of the prompt's tokens to the image's patches, taken out of cached patterns.

import { checkShape } from '../errors.ts';

/** Attention of every head to every patch in one sample, [layer, head, patch]. */
export interface ImageAttention {
  readonly layers: number;
  readonly heads: number;
  readonly patches: number;
  /** A head's values sum to its mass on the image's patches: at most 1, what is missing lies on other keys. */
  readonly data: Float32Array;
}

/** A batch row of the hook points `…attn.hook_pattern` of all layers. */
export interface PatternStack {
  /** Per layer [head, query_pos, key_pos]. */
  readonly layers: readonly Float32Array[];
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
}

/**
 * The mean over the given query positions (the sub-tokens of a word), on the image's patches only.
 * @param queries positions to average over, at least one
 * @param patches which keys are patches
 * @throws ShapeError positions outside the patterns, or a layer of the wrong size
 */
export function imageAttention(
  pattern: PatternStack,
  queries: readonly number[],
  patches: readonly number[],
): ImageAttention {
  const { layers, heads, queries: rows, keys } = pattern;
  const count = patches.length;
  checkShape(
    count > 0 && patches.every((key) => Number.isInteger(key) && key >= 0 && key < keys),
    () => `imageAttention: patches [${patches}] do not all lie within the ${keys} keys.`,
  );
  checkShape(
    queries.length > 0 && queries.every((query) => Number.isInteger(query) && query >= 0 && query < rows),
    () => `imageAttention: query positions [${queries}] are not all within the ${rows} positions.`,
  );
  const data = new Float32Array(layers.length * heads * count);
  layers.forEach((layer, l) => {
    checkShape(
      layer.length === heads * rows * keys,
      () =>
        `imageAttention: layer ${l} has ${layer.length} values, expected ${heads} × ${rows} × ${keys} (head, query, key).`,
    );
    for (let h = 0; h < heads; h++) {
      const out = (l * heads + h) * count;
      for (const query of queries) {
        const from = (h * rows + query) * keys;
        for (let p = 0; p < count; p++) data[out + p]! += layer[from + patches[p]!]! / queries.length;
      }
    }
  });
  return { layers: layers.length, heads, patches: count, data };
}

/** One head's attention to the patches, a view. */
export function headPatches(
  { heads, patches, data }: ImageAttention,
  layer: number,
  head: number,
): Float32Array {
  const start = (layer * heads + head) * patches;
  return data.subarray(start, start + patches);
}

/** The mean over all heads of all layers: what NOTICE compares a head with. */
export function averageHead({ layers, heads, patches, data }: ImageAttention): Float64Array {
  const result = new Float64Array(patches);
  for (let i = 0; i < data.length; i++) result[i % patches]! += data[i]!;
  return result.map((sum) => sum / (layers * heads));
}

/** Values of patches minus the average head's. */
export function minusAverage(attention: ImageAttention, values: Float32Array): Float32Array {
  const average = averageHead(attention);
  return values.map((value, p) => value - average[p]!);
}
