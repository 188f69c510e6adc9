import { type Matrix, mean } from './matrix.ts';

/** torch.nn.LayerNorm over the last dimension: (x − mean) / √(var + eps) · weight + bias, var without Bessel's correction. */
export function layerNorm(
  x: Matrix,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  eps: number,
): Matrix {
  return x.map((row) => {
    const centre = mean(row);
    const variance = mean(Array.from(row, (value) => (value - centre) ** 2));
    return Array.from(
      row,
      (value, c) => ((value - centre) / Math.sqrt(variance + eps)) * weight[c]! + bias[c]!,
    );
  });
}

/** LlamaRMSNorm: x / √(mean(x²) + eps) · weight. */
export function rmsNorm(x: Matrix, weight: ArrayLike<number>, eps: number): Matrix {
  return x.map((row) => {
    const meanSquare = mean(Array.from(row, (value) => value ** 2));
    return Array.from(row, (value, c) => (value / Math.sqrt(meanSquare + eps)) * weight[c]!);
  });
}
