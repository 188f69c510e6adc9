// What a sweep will take, before it runs. The numbers come from the code that runs it, on a device that only counts.

import type { ImageInput, VisionLanguageModel } from '../models/index.ts';
import { type Cell, imagesOf, type SweepJob } from './cells.ts';
import { splitCells } from './split.ts';
import { prepareJob, type SweepOptions } from './sweep.ts';
import { type WalkOptions, walkCells } from './walk-cells.ts';

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
  const count = (name: string, n: number) => rows.set(name, (rows.get(name) ?? 0) + n);
  const walking = (part: readonly Cell[], shared: boolean, onRows: WalkOptions['onRows']) =>
    model.gpu.estimate(async () => {
      const features = shared ? await model.encodeImages(imagesOf(jobs, part)) : undefined;
      await walkCells(model, jobs, part, { mode: 'wavefront', controls, estimate: true, features, onRows });
      features?.release();
    });
  const encoding = (images: readonly ImageInput[]) =>
    model.gpu.estimate(async () => (await model.encodeImages(images)).release());
  let flops = 0;
  let dispatches = 0;
  let peakBytes = 0;
  for (const group of groups) {
    const shared = group.length > 1;
    for (const [i, part] of group.entries()) {
      const walk = await walking(part, shared, shared && i === 0 ? undefined : count);
      flops += walk.flops;
      dispatches += walk.dispatches;
      peakBytes = Math.max(peakBytes, walk.peakBytes);
    }
    if (!shared) continue;
    // The walks of a group have their image features in common: made once, and with them the rows of their tower.
    const [first = []] = group;
    const features = await encoding(imagesOf(jobs, first));
    flops -= (group.length - 1) * features.flops;
    dispatches -= (group.length - 1) * features.dispatches;
    await walking(first, false, count);
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
    const vision = await encoding(job.clean.images);
    oneByOneFlops += own.length * full.flops;
    oneByOneSharedFlops +=
      own.length * (full.flops - 3 * vision.flops) + imagesOf(jobs, own).length * vision.flops;
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
