import type { Activation } from '../../src/kernels/index.ts';
import { activation as act } from './activation.ts';
import { dot, type Matrix } from './matrix.ts';

export interface LinearOptions {
  readonly bias?: ArrayLike<number>;
  readonly activation?: Activation;
  readonly residual?: Matrix;
}

/** act(x · Wᵀ + bias) + residual: torch.nn.functional.linear with weight [out, in], then the rest of the block. */
export function linear(
  x: Matrix,
  weight: Matrix,
  { bias, activation = 'none', residual }: LinearOptions = {},
): Matrix {
  return x.map((row, m) =>
    weight.map((weights, n) => {
      const product = dot(row, weights) + (bias ? bias[n]! : 0);
      return act(activation, product) + (residual ? residual[m]![n]! : 0);
    }),
  );
}

export function add(x: Matrix, residual: Matrix): Matrix {
  return x.map((row, r) => Array.from(row, (value, c) => value + residual[r]![c]!));
}
