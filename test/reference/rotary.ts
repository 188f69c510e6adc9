import type { Matrix } from './matrix.ts';

/**
 * apply_rotary_pos_emb of transformers' LLaMA: x · cos + rotate_half(x) · sin, where rotate_half(x) = (−x₂, x₁) for the
 * halves x = (x₁, x₂) of each head's features.
 *
 * Inverse frequencies and angles are rounded to f32, because LlamaRotaryEmbedding holds them so and at position 600
 * the rounding turns the result by up to 3e-5: it belongs to the definition.
 */
export function rotary(x: Matrix, heads: number, positions: readonly number[], theta: number): Matrix {
  return x.map((row, r) => {
    const D = row.length / heads;
    return Array.from(row, (value, i) => {
      const d = i % D;
      const upper = d >= D / 2;
      const exponent = Math.fround((2 * (d % (D / 2))) / D);
      const inverseFrequency = Math.fround(1 / Math.fround(theta ** exponent));
      const angle = Math.fround(positions[r]! * inverseFrequency);
      const rotated = upper ? row[i - D / 2]! : -row[i + D / 2]!;
      return value * Math.cos(angle) + rotated * Math.sin(angle);
    });
  });
}
