// What a sweep will take, before it runs. The numbers come from the code that runs it, on a device that only counts.

import type { VisionLanguageModel } from '../models/index.ts';
import { type Cell, imagesOf, type SweepJob } from './cells.ts';
import { splitCells } from './split.ts';
import { prepareJob, type SweepOptions } from './sweep.ts';
import { walkCells } from './walk-cells.ts';

export interface LayerRows {
  readonly tower: string;
  readonly layer: number;
  /** Rows of the residual stream after the block, all runs together. */
  readonly rows: number;
  /** Rows that the same block has in one-by-one passes over all cells. */
  readonly oneByOneRows: number;
}

export interface SweepPlan {
  readonly cells: number;
  readonly walks: number;
  readonly layers: readonly LayerRows[];
  /** Floating-point operations of the wavefront. */
  readonly flops: number;
  /** Of a full forward pass of clean, corrupt and patched run for every cell. */
  readonly oneByOneFlops: number;
  /** The same with the image features computed once. */
  readonly oneByOneSharedFlops: number;
  readonly dispatches: number;
  /** The most GPU memory that activations take, in bytes. */
  readonly peakBytes: number;
  readonly weightBytes: number;
}

/** @throws as `sweep` does for jobs that cannot be run */
export async function planSweep(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  options: SweepOptions = {},
): Promise<SweepPlan> {
  const { controls = true, compat = [] } = options;
  const cells = jobs.flatMap((job, pair) => prepareJob(model, job, pair, compat).cells);
  const groups = await splitCells(model, jobs, cells, options);
  const rows = new Map<string, number>();
  const count = async (part: readonly Cell[], shared: boolean) => {
    const features = shared ? await model.encodeImages(imagesOf(jobs, part)) : undefined;
    await walkCells(model, jobs, part, {
      mode: 'wavefront',
      controls,
      estimate: true,
      features,
      onRows: (name, n) => rows.set(name, (rows.get(name) ?? 0) + n),
    });
    features?.release();
  };
  let flops = 0;
  let dispatches = 0;
  let peakBytes = 0;
  for (const group of groups) {
    for (const part of group) {
      const walk = await model.gpu.estimate(() => count(part, group.length > 1));
      flops += walk.flops;
      dispatches += walk.dispatches;
      peakBytes = Math.max(peakBytes, walk.peakBytes);
    }
  }
  const single = new Map<string, number>();
  let oneByOneFlops = 0;
  let oneByOneSharedFlops = 0;
  for (const [pair, job] of jobs.entries()) {
    const own = cells.filter((cell) => cell.pair === pair);
    const [first] = own;
    if (!first) continue;
    const full = await model.gpu.estimate(async () => {
      await walkCells(model, jobs, [first], {
        mode: 'one-by-one',
        controls: false,
        estimate: true,
        onRows: (name, n) => single.set(name, (single.get(name) ?? 0) + own.length * n),
      });
    });
    const vision = await model.gpu.estimate(async () => {
      (await model.encodeImages([job.clean.image])).release();
    });
    oneByOneFlops += own.length * full.flops;
    oneByOneSharedFlops += own.length * (full.flops - 3 * vision.flops);
  }
  return {
    cells: cells.length,
    walks: groups.flat().length,
    layers: [...single].map(([name, oneByOneRows]) => {
      const [tower = '', , layer] = name.split('.');
      return { tower, layer: Number(layer), rows: rows.get(name) ?? 0, oneByOneRows };
    }),
    flops,
    oneByOneFlops,
    oneByOneSharedFlops,
    dispatches,
    peakBytes,
    weightBytes: model.weightBytes,
  };
}
