// An image as a model reads it, and where on the picture each of its features lies.

import type { Box, PixelValues } from '../inputs/index.ts';
import type { Sample, VisionLanguageModel } from './model.ts';
import { type SampleInput, samplesOf } from './sample.ts';

/** What a vision tower reads of one image. Runs whose samples hold the same object share what is made of it. */
export interface ImageInput extends PixelValues {
  /** The part of the picture that the model sees, in the picture's pixels; left out where no picture is known. */
  readonly view?: Box;
}

/**
 * Features that lie on the picture row by row. An image has one such grid, or one for each tile; features that are in none
 * (a class token, marks between rows) lie nowhere.
 */
export interface FeatureGrid {
  readonly rows: number;
  readonly columns: number;
  /** Which of the image's features lies top left. */
  readonly first: number;
  /** Features from one row's first to the next row's; default `columns`. */
  readonly stride?: number;
  /** What of the view the grid covers, in shares of its width and height; default all. */
  readonly area?: Box;
}

/** A grid of features as keys of the attention that reads the image (`VisionLanguageModel.imageAttention`). */
export interface PatchGrid {
  /** Which of the sample's images. */
  readonly image: number;
  readonly rows: number;
  readonly columns: number;
  /** Position among the keys of each feature, row by row. */
  readonly keys: readonly number[];
  /** The part of the picture that the grid covers, in its pixels; undefined where no picture is known. */
  readonly box: Box | undefined;
}

/** Where attention to the images of a sample lies on them. */
export function patchGrids(
  model: Pick<VisionLanguageModel, 'imageAttention' | 'imageToken' | 'featureCount' | 'featureGrids'>,
  sample: SampleInput,
): PatchGrid[] {
  const [{ images, ids }] = samplesOf([sample]) as [Sample];
  // Keys of cross-attention are the features themselves; in a prompt each has a token.
  const inPrompt = !model.imageAttention.endsWith('.cross_attn');
  const tokens = ids.flatMap((id, position) => (id === model.imageToken ? [position] : []));
  let before = 0;
  return images.flatMap((input, image) => {
    const start = before;
    before += model.featureCount(input);
    return model.featureGrids(input).map(({ rows, columns, first, stride = columns, area }): PatchGrid => {
      const keys = Array.from({ length: rows * columns }, (_, i) => {
        const feature = start + first + Math.floor(i / columns) * stride + (i % columns);
        return inPrompt ? (tokens[feature] as number) : feature;
      });
      return { image, rows, columns, keys, box: input.view && within(input.view, area) };
    });
  });
}

function within([left, top, right, bottom]: Box, area: Box = [0, 0, 1, 1]): Box {
  const [width, height] = [right - left, bottom - top];
  return [left + area[0] * width, top + area[1] * height, left + area[2] * width, top + area[3] * height];
}

/** Whether two samples hold the same images. */
export function sameImages(a: Sample, b: Sample): boolean {
  return a.images.length === b.images.length && a.images.every((image, i) => image === b.images[i]);
}

/** The sample with images that it shares with no other. */
export function withOwnImages(sample: Sample): Sample {
  return { ...sample, images: sample.images.map((image) => ({ ...image })) };
}
