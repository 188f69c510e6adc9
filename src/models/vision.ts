// The front of every model here: images to the residual stream of a vision tower.

import { checkFloats } from '../check.ts';
import { NoticeError, ShapeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { embedImage, imagePatches, matmul, type Vector, type Weight } from '../kernels/index.ts';
import type { HookInfo } from './hook-table.ts';
import type { ImageInput } from './image-input.ts';
import type { ModelRun } from './model.ts';
import { type Linear, type Probe, Sequence } from './tower/index.ts';

export interface VisionEmbedding {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly imageSize: number;
  readonly patchSize: number;
}

/**
 * The image of a prompt that has one.
 *
 * @throws NoticeError('image') for none, or several
 */
export function oneImage(images: readonly ImageInput[]): ImageInput {
  const [image] = images;
  if (!image || images.length > 1)
    throw new NoticeError('image', `this model reads one image with each prompt, found ${images.length}`);
  return image;
}

/**
 * Makes the runs of the vision tower: one for every image object, and one derived from it for every derived run that
 * departs there.
 *
 * @returns the images, in the order of their rows (as many as there are positions, each)
 */
export function visionRuns(runs: readonly ModelRun[], positions: number): ImageInput[] {
  const images = new Map<ImageInput, Sequence>();
  for (const run of runs) {
    const image = oneImage(run.sample.images);
    const base = run.base?.sample.images[0] === image ? run.base.towers.get('vision') : undefined;
    if (base) {
      run.towers.set('vision', run.departsIn.has('vision') ? new Sequence(positions, { base }) : base);
      continue;
    }
    let root = images.get(image);
    if (!root) {
      root = new Sequence(positions);
      for (let p = 0; p < positions; p++) root.rows[p] = images.size * positions + p;
      images.set(image, root);
    }
    run.towers.set('vision', root);
  }
  return [...images.keys()];
}

/** Whether runs can read image features of an earlier walk: nobody looks at or departs in the towers that made them. */
export function reusable(
  features: { readonly runs: ReadonlyMap<ImageInput, Sequence> },
  towers: readonly string[],
  runs: readonly ModelRun[],
  probe: Probe,
  hooks: readonly HookInfo[],
): boolean {
  return (
    runs.every(
      ({ sample, departsIn }) =>
        features.runs.has(oneImage(sample.images)) && !towers.some((tower) => departsIn.has(tower)),
    ) && !hooks.some(({ name }) => towers.some((tower) => name.startsWith(`${tower}.`)) && probe.wants(name))
  );
}

/** Embeds images: [images · positions, width]. */
export function embedImages(
  w: Work,
  images: readonly ImageInput[],
  { patches, classToken, positions, imageSize, patchSize }: VisionEmbedding,
): Tensor {
  const size = 3 * imageSize ** 2;
  const pixels = new Float32Array(images.length * size);
  images.forEach((image, i) => {
    if (image.height !== imageSize || image.width !== imageSize)
      throw new ShapeError(
        `image ${i} is ${image.width}×${image.height}, the model expects ${imageSize}×${imageSize}`,
      );
    checkFloats(image.data, `image ${i}: data`, size);
    const bad = image.data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new ShapeError(`image ${i}: pixel value ${bad} is ${image.data[bad]}`);
    pixels.set(image.data, i * size);
  });
  const input = w.upload(pixels, images.length, size, 'pixel values');
  const rows = imagePatches(w, input, imageSize, imageSize, patchSize);
  const embedded = matmul(w, rows, patches.weight, { bias: patches.bias });
  const x = embedImage(w, embedded, classToken, positions);
  w.release(input, rows, embedded);
  return x;
}
