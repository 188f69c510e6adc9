// What all matmul kernels have in common on this side: matmul_operands.wgsl.

import type { Activation } from './source.ts';

/** What becomes of the sums. */
export interface Epilogue {
  readonly activation: Activation;
  readonly bias: boolean;
  readonly residual: boolean;
}

/** Those of some traits of a kernel that it has, by their names. */
export function flagsOf(flags: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(flags).flatMap(([flag, on]) => (on ? [flag] : []));
}
