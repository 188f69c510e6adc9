// Grids: how work that is larger than a device's widest dimension is laid out.

import type { Work } from '../gpu/index.ts';

/** Threads of a workgroup in elementwise kernels. */
export const ELEMENT_THREADS = 64;

/** A grid of at least `count` workgroups; `gridX` turns (x, y) back into an index as y · gridX + x. */
export function gridOf(w: Work, count: number): { groups: [number, number, number]; gridX: number } {
  const gridX = Math.min(count, w.capabilities.limits.maxComputeWorkgroupsPerDimension);
  return { groups: [gridX, count === 0 ? 0 : Math.ceil(count / gridX), 1], gridX };
}

/** A grid of threads that share `count` elements: each thread takes elements i, i + threads, …. */
export function elementGrid(w: Work, count: number): { groups: [number, number, number]; threads: number } {
  const wanted = Math.ceil(count / ELEMENT_THREADS);
  const x = Math.min(wanted, w.capabilities.limits.maxComputeWorkgroupsPerDimension);
  return { groups: [x, 1, 1], threads: x * ELEMENT_THREADS };
}
