// What a sweep will take, before it runs. The numbers come from the code that runs it, on a device that only counts.

import { checkSignal } from '../check.ts';
import type { WorkEstimate, WorkOptions } from '../gpu/index.ts';
import type { ImageFeatures, ImageInput, VisionLanguageModel } from '../models/index.ts';
import { type Cell, imagesOf, measuredJobs, type SweepJob, type SweepJobInput } from './cells.ts';
import { splitCells } from './split.ts';
import { prepareJob, type SweepOptions } from './sweep.ts';
import { CellWalk, type WalkOptions } from './walk-cells.ts';

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
  given: readonly SweepJobInput[],
  options: SweepOptions = {},
): Promise<SweepPlan> {
  const { jobs, cells, groups, rows, ...wavefront } = await planWavefront(model, given, options);
  const { rows: oneByOneRows, flops, sharedFlops } = await countOneByOne(model, jobs, cells, options);
  return {
    cells: cells.length,
    walks: groups.flat().length,
    layers: [...oneByOneRows].map(([name, count]) => {
      const [tower = '', , layer] = name.split('.');
      return { tower, layer: Number(layer), rows: rows.get(name) ?? 0, oneByOneRows: count };
    }),
    ...wavefront,
    oneByOneFlops: flops,
    oneByOneSharedFlops: sharedFlops,
    weightBytes: model.weightBytes,
  };
}

/**
 * Operations of a sweep: those of its plan, without what patches one by one would take. Throws as {@link planSweep} does.
 *
 * @param given as {@link planSweep} takes them
 */
export async function sweepOperations(
  model: VisionLanguageModel,
  given: readonly SweepJobInput[],
  options: SweepOptions = {},
): Promise<number> {
  return (await planWavefront(model, given, options)).flops;
}

async function planWavefront(
  model: VisionLanguageModel,
  given: readonly SweepJobInput[],
  options: SweepOptions,
) {
  checkSignal(options.signal);
  const jobs = measuredJobs(given, options.metric);
  const cells = jobs.flatMap((job, pair) => prepareJob(model, job, pair).cells);
  const groups = await splitCells(model, jobs, cells, options);
  return { jobs, cells, groups, ...(await countWavefront(model, jobs, groups, options)) };
}

/** Rows at the end of blocks, by hook point, and what all walks take. */
async function countWavefront(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  groups: readonly (readonly (readonly Cell[])[])[],
  { controls = true, signal }: SweepOptions,
) {
  const rows = new Map<string, number>();
  const onRows = (name: string, n: number) => rows.set(name, (rows.get(name) ?? 0) + n);
  const walking = (part: readonly Cell[], features?: ImageFeatures, onRows?: WalkOptions['onRows']) =>
    model.gpu.count(
      (w) => CellWalk.record(w, model, jobs, part, { mode: 'wavefront', controls, features, onRows }),
      { signal },
    );
  let [flops, dispatches, peakBytes] = [0, 0, 0];
  const add = (cost: WorkEstimate, kept = 0) => {
    flops += cost.flops;
    dispatches += cost.dispatches;
    peakBytes = Math.max(peakBytes, kept + cost.peakBytes);
  };
  for (const group of groups) {
    const [first = [], ...others] = group;
    if (others.length === 0) {
      add(await walking(first, undefined, onRows));
      continue;
    }
    // The walks of a group have their image features in common: made once, in a work of their own, and kept.
    let features: ImageFeatures | undefined;
    add(
      await model.gpu.count(
        async (w) => {
          features = await model.encodeImages(w, imagesOf(jobs, first));
        },
        { signal },
      ),
    );
    const kept = (features?.tensors ?? []).reduce((sum, { buffer }) => sum + buffer.size, 0);
    add(await walking(first, features), kept);
    for (const part of others) add(await walking(part, features, onRows), kept);
    await walking(first, undefined, onRows); // the rows of the images' tower, too
  }
  return { rows, flops, dispatches, peakBytes };
}

/** What full passes of clean, corrupt and patched run take for every cell, and with image features that are shared. */
async function countOneByOne(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  options: WorkOptions,
) {
  const rows = new Map<string, number>();
  let [flops, sharedFlops] = [0, 0];
  for (const [pair, job] of jobs.entries()) {
    const own = cells.filter((cell) => cell.pair === pair);
    const [first] = own;
    if (!first) continue;
    const onRows = (name: string, n: number) => rows.set(name, (rows.get(name) ?? 0) + own.length * n);
    const full = await model.gpu.count(
      (w) => CellWalk.record(w, model, jobs, [first], { mode: 'one-by-one', controls: false, onRows }),
      options,
    );
    const vision = await encoding(model, job.clean.images, options);
    flops += own.length * full.flops;
    sharedFlops += own.length * (full.flops - 3 * vision.flops) + imagesOf(jobs, own).length * vision.flops;
  }
  return { rows, flops, sharedFlops };
}

function encoding(
  model: VisionLanguageModel,
  images: readonly ImageInput[],
  options: WorkOptions,
): Promise<WorkEstimate> {
  return model.gpu.count((w) => model.encodeImages(w, images), options);
}
