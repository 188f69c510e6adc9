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

/** The rows of a product in dispatches that each do no more than `maxFlops`, in whole blocks: evenly, so that none is left small. */
export function rowWindows(
  rows: number,
  block: number,
  flopsPerRow: number,
  maxFlops: number,
): { readonly first: number; readonly rows: number }[] {
  const most = Math.max(1, Math.floor(maxFlops / (flopsPerRow * block))); // blocks of a window
  const windows = Math.ceil(Math.ceil(rows / block) / most);
  const size = block * Math.ceil(Math.ceil(rows / block) / windows);
  return Array.from({ length: windows }, (_, i) => ({
    first: i * size,
    rows: Math.min(size, rows - i * size),
  }));
}
