// What all matmul kernels have in common on this side: matmul_operands.wgsl.

import type { Activation } from './source.ts';

export const MATMUL_PARAMS = {
  M: 'u32',
  N: 'u32',
  K: 'u32',
  nFirst: 'u32',
  aOffset: 'u32',
  aStride: 'u32',
  wStride: 'u32',
  rOffset: 'u32',
  rStride: 'u32',
  cOffset: 'u32',
  cStride: 'u32',
} as const;

/** What becomes of the sums. */
export interface Epilogue {
  readonly activation: Activation;
  readonly bias: boolean;
  readonly residual: boolean;
}

/** Bindings of A, W, C, and what the epilogue adds. */
export function matmulBindings({ bias, residual }: Epilogue): ('read' | 'read_write')[] {
  const added = [bias, residual].filter(Boolean).map(() => 'read' as const);
  return ['read', 'read', 'read_write', ...added];
}
