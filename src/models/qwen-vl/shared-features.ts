// Features of images that several walks use.

import type { Tensor } from '../../gpu/index.ts';
import { joinedRun } from '../feature-runs.ts';
import { type ImageInput, sameImages } from '../image-input.ts';
import type { ImageFeatures, ModelRun } from '../model.ts';
import type { Sequence } from '../tower/index.ts';
import type { Features } from './image-encoder.ts';

/** One tensor of the projector and one of each DeepStack merger, with each image's rows there. */
export interface SharedFeatures extends ImageFeatures {
  readonly stages: readonly { readonly tensor: Tensor; readonly runs: ReadonlyMap<ImageInput, Sequence> }[];
}

/** @param runs each with one image */
export function sharedFeatures(runs: readonly ModelRun[], features: readonly Features[]): SharedFeatures {
  return {
    images: runs.flatMap(({ sample }) => sample.images),
    tensors: features.map(({ tensor }) => tensor),
    stages: features.map(({ tensor, runs: made }) => ({
      tensor,
      runs: new Map(runs.map((run) => [run.sample.images[0] as ImageInput, made.get(run) as Sequence])),
    })),
  };
}

/** The features of each run's images, one image behind the other; runs with the same images have the same. */
export function featuresFor({ stages }: SharedFeatures, runs: readonly ModelRun[]): Features[] {
  return stages.map(({ tensor, runs: made }) => {
    const lists: ModelRun[] = [];
    const found = new Map<ModelRun, Sequence>();
    for (const run of runs) {
      const known = lists.find(({ sample }) => sameImages(sample, run.sample));
      if (!known) lists.push(run);
      const own = known
        ? found.get(known)
        : joinedRun(run.sample.images.map((image) => made.get(image) as Sequence));
      found.set(run, own as Sequence);
    }
    return { tensor, runs: found };
  });
}
