// Runs of the vision tower: one for each list of images, all their patches one behind the other.

import { ShapeError } from '../../errors.ts';
import type { Tensor, Work } from '../../gpu/index.ts';
import { sameImages } from '../image-input.ts';
import type { ModelRun } from '../model.ts';
import { sequenceIn, sequencesIn } from '../sequences.ts';
import { type Probe, Sequence } from '../tower/index.ts';
import type { QwenVision } from './config.ts';
import { type Layout, layoutOf } from './layout.ts';

/** Where the patches of each run's images lie; the same object for the same images. */
export type Layouts = ReadonlyMap<ModelRun, Layout>;

/**
 * Makes the runs of `vision`: one for every list of images, and one derived from it for every derived run that departs there.
 *
 * @returns layouts in the order of their rows
 * @throws ShapeError
 */
export function packedRuns(runs: readonly ModelRun[], settings: QwenVision): Layouts {
  const layouts = new Map<ModelRun, Layout>();
  const roots: ModelRun[] = [];
  let rows = 0;
  for (const run of runs) {
    const { sample, base } = run;
    const same =
      base && sameImages(sample, base.sample)
        ? base
        : roots.find((other) => sameImages(other.sample, sample));
    if (same) {
      const shared = sequenceIn(same, 'vision');
      const own = run.departsIn.has('vision') ? new Sequence(shared.length, { base: shared }) : shared;
      layouts.set(run, layouts.get(same) as Layout);
      run.towers.set('vision', own);
      continue;
    }
    const layout = layoutOf(sample.images, settings);
    const root = new Sequence(layout.cells.length);
    for (let p = 0; p < root.length; p++) root.rows[p] = rows++;
    layouts.set(run, layout);
    run.towers.set('vision', root);
    roots.push(run);
  }
  return layouts;
}

/** The layouts of a tower's runs. */
export function bySequence(
  runs: readonly ModelRun[],
  tower: string,
  layouts: Layouts,
): Map<Sequence, Layout> {
  return new Map(runs.map((run) => [sequenceIn(run, tower), layouts.get(run) as Layout]));
}

/** The patches of all images: [rows, values of a patch]. */
export function pixelRows(w: Work, probe: Probe, layouts: Layouts, patchValues: number): Tensor {
  const images = [...new Set(layouts.values())].flatMap((layout) => layout.images);
  const pixels = new Float32Array(images.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  images.forEach(({ data }, i) => {
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new ShapeError(`image ${i}: pixel value ${bad} is ${data[bad]}`);
    pixels.set(data, at);
    at += data.length;
  });
  const input = w.upload(pixels, pixels.length / patchValues, patchValues, 'pixel values');
  const parts = images.map((image) => ({ image, first: 0, count: image.data.length }));
  probe.pixels?.(input, parts);
  return input;
}

/**
 * Puts the positions of a tower's runs in another order; their rows stay where they are.
 *
 * @param size positions that stay together
 * @param order of a run, which group of `size` positions stands at each place
 */
export function reorder(
  runs: readonly ModelRun[],
  tower: string,
  size: number,
  order: (run: Sequence) => ArrayLike<number>,
): void {
  replaceRuns(runs, tower, (run, base) => {
    const own = new Sequence(run.length, { base });
    Array.from(order(run)).forEach((group, at) => {
      own.rows.set(run.rows.subarray(group * size, (group + 1) * size), at * size);
    });
    return own;
  });
}

/**
 * Runs of groups of `size` positions take the place of a tower's runs. A group has a row of its own where one of its
 * positions has.
 *
 * @returns rows of the positions, group by group
 */
export function mergedRuns(runs: readonly ModelRun[], tower: string, size: number): Uint32Array {
  const rows: number[] = [];
  replaceRuns(runs, tower, (run, base) => {
    const own = new Sequence(run.length / size, { base });
    for (let group = 0; group < own.length; group++) {
      const positions = Array.from({ length: size }, (_, i) => group * size + i);
      if (!positions.some((position) => run.owns(position))) continue;
      own.rows[group] = rows.length / size;
      rows.push(...positions.map((position) => run.row(position)));
    }
    return own;
  });
  return Uint32Array.from(rows);
}

/** Others take the place of a tower's runs, bases first. */
function replaceRuns(
  runs: readonly ModelRun[],
  tower: string,
  make: (run: Sequence, base: Sequence | undefined) => Sequence,
): void {
  const made = new Map<Sequence, Sequence>();
  for (const run of sequencesIn(runs, tower)) made.set(run, make(run, run.base && made.get(run.base)));
  for (const run of runs) run.towers.set(tower, made.get(sequenceIn(run, tower)) as Sequence);
}
