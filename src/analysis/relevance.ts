// Relevance of inputs through attention (Chefer, Gur, Wolf 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal
// and Encoder-Decoder Transformers"). Equation numbers are theirs. All matrices are row by row, in f64.

/** [rows, columns] */
export interface Relevance {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/**
 * Ā = E_h((∇A ⊙ A)⁺), eq. 5.
 *
 * @param pattern [head, query, key]; its gradient alike
 */
export function averagedAttention(
  pattern: Float32Array,
  gradient: Float32Array,
  { heads, queries, keys }: { readonly heads: number; readonly queries: number; readonly keys: number },
): Relevance {
  const size = queries * keys;
  const data = new Float64Array(size);
  for (let i = 0; i < heads * size; i++)
    data[i % size] =
      (data[i % size] as number) + Math.max(0, (pattern[i] as number) * (gradient[i] as number)) / heads;
  return { rows: queries, columns: keys, data };
}

/** A · B */
export function product(a: Relevance, b: Relevance): Relevance {
  const data = new Float64Array(a.rows * b.columns);
  for (let r = 0; r < a.rows; r++)
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[r * a.columns + k] as number;
      if (factor === 0) continue;
      for (let c = 0; c < b.columns; c++)
        data[r * b.columns + c] =
          (data[r * b.columns + c] as number) + factor * (b.data[k * b.columns + c] as number);
    }
  return { rows: a.rows, columns: b.columns, data };
}

/**
 * row · R, where R is I after R ← R + Ā · R for each layer (eq. 6), without making R.
 *
 * @param layers Ā of each self-attention, the first first
 */
export function throughSelf(row: Float64Array, layers: readonly Relevance[]): Float64Array {
  return layers.reduceRight((at, layer) => {
    const step = product({ rows: 1, columns: at.length, data: at }, layer);
    return at.map((value, c) => value + (step.data[c] as number));
  }, row);
}

/**
 * row · R̄, R̄ being R with its part beside the identity scaled so that rows sum to 1, and the identity (eq. 8 and 9). A row of
 * zeros, of a position that nothing has mixed, stays zeros.
 */
export function throughNormalized(row: Float64Array, layers: readonly Relevance[]): Float64Array {
  const sums = layers.reduce((ones, layer) => {
    const step = product(layer, { rows: ones.length, columns: 1, data: ones });
    return ones.map((value, r) => value + (step.data[r] as number));
  }, new Float64Array(row.length).fill(1));
  const scaled = row.map((value, r) => {
    const rest = (sums[r] as number) - 1;
    return rest > 0 ? value / rest : 0;
  });
  const mixed = throughSelf(scaled, layers);
  return row.map((value, c) => value + (mixed[c] as number) - (scaled[c] as number));
}

/**
 * What a modality s takes from another, q, that it attends to: R^{sq} without its last factor R̄^{qq}, after all layers. Each layer's
 * self-attention is R^{ss} ← R^{ss} + Ā · R^{ss} and R^{sq} ← R^{sq} + Ā · R^{sq} (eq. 6 and 7), its cross-attention, where there is one,
 * R^{sq} ← R^{sq} + (R̄^{ss})ᵀ · Ā · R̄^{qq} (eq. 10).
 *
 * @returns [positions of s, positions of q]
 */
export function acrossModalities(
  layers: readonly { readonly self: Relevance; readonly cross: Relevance | undefined }[],
  positions: { readonly s: number; readonly q: number },
): Relevance {
  const { s, q } = positions;
  const selves: Relevance[] = [];
  let across = new Float64Array(s * q);
  for (const { self, cross } of layers) {
    selves.push(self);
    const moved = product(self, { rows: s, columns: q, data: across });
    across = across.map((value, i) => value + (moved.data[i] as number));
    if (!cross) continue;
    const data = new Float64Array(s * s);
    for (let r = 0; r < s; r++) {
      const unit = new Float64Array(s);
      unit[r] = 1;
      // A row of R̄ is a column of its transpose.
      throughNormalized(unit, selves).forEach((value, c) => {
        data[c * s + r] = value;
      });
    }
    const added = product({ rows: s, columns: s, data }, cross);
    across = across.map((value, i) => value + (added.data[i] as number));
  }
  return { rows: s, columns: q, data: across };
}
