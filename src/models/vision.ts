// The front of every model here: images to the residual stream of a vision tower.

import { ShapeError } from '../errors.ts';
import type { Gpu, Tensor } from '../gpu/index.ts';
import type { PixelValues } from '../inputs/index.ts';
import { embedImage, imagePatches, matmul, type Vector, type Weight } from '../kernels/index.ts';
import type { HookInfo } from './hook-table.ts';
import type { ModelRun } from './model.ts';
import { type Linear, type Probe, Run } from './tower/index.ts';

export interface VisionEmbedding {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly imageSize: number;
  readonly patchSize: number;
}

/**
 * Makes the runs of the vision tower: one for every image object, and one derived from it for every derived run that
 * departs there.
 *
 * @returns the images, in the order of their rows (as many as there are positions, each)
 */
export function visionRuns(runs: readonly ModelRun[], positions: number): PixelValues[] {
  const images = new Map<PixelValues, Run>();
  for (const run of runs) {
    const { image } = run.sample;
    const base = run.base?.sample.image === image ? run.base.towers.get('vision') : undefined;
    if (base) {
      run.towers.set('vision', run.departsIn.has('vision') ? new Run(positions, { base }) : base);
      continue;
    }
    let root = images.get(image);
    if (!root) {
      root = new Run(positions);
      for (let p = 0; p < positions; p++) root.rows[p] = images.size * positions + p;
      images.set(image, root);
    }
    run.towers.set('vision', root);
  }
  return [...images.keys()];
}

/** Whether runs can read image features of an earlier walk: nobody looks at or departs in the towers that made them. */
export function reusable(
  features: { readonly runs: ReadonlyMap<PixelValues, Run> },
  towers: readonly string[],
  runs: readonly ModelRun[],
  probe: Probe,
  hooks: readonly HookInfo[],
): boolean {
  return (
    runs.every(
      ({ sample, departsIn }) =>
        features.runs.has(sample.image) && !towers.some((tower) => departsIn.has(tower)),
    ) && !hooks.some(({ name }) => towers.some((tower) => name.startsWith(`${tower}.`)) && probe.wants(name))
  );
}

/** Embeds images: [images · positions, width]. */
export function embedImages(
  gpu: Gpu,
  images: readonly PixelValues[],
  { patches, classToken, positions, imageSize, patchSize }: VisionEmbedding,
): Tensor {
  const size = 3 * imageSize ** 2;
  const pixels = new Float32Array(images.length * size);
  images.forEach((image, i) => {
    if (image.height !== imageSize || image.width !== imageSize)
      throw new ShapeError(
        `image ${i} is ${image.width}×${image.height}, the model expects ${imageSize}×${imageSize}`,
      );
    const bad = image.data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new ShapeError(`image ${i}: pixel value ${bad} is ${image.data[bad]}`);
    pixels.set(image.data, i * size);
  });
  const input = gpu.upload(pixels, images.length, size, 'pixel values');
  const rows = imagePatches(gpu, input, imageSize, imageSize, patchSize);
  const embedded = matmul(gpu, rows, patches.weight, { bias: patches.bias });
  const x = embedImage(gpu, embedded, classToken, positions);
  gpu.release(input, rows, embedded);
  return x;
}
