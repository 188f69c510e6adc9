// An image as a model reads it, and where on the picture each of its features lies.

import type { Box, PixelValues } from '../inputs/index.ts';
import type { Sample, VisionLanguageModel } from './model.ts';
import { type SampleInput, samplesOf } from './sample.ts';

/** What a vision tower reads of one image. Runs whose samples hold the same object share what is made of it. */
export interface ImageInput extends PixelValues {
  /** The part of the picture that the model sees, in the picture's pixels; left out where no picture is known. */
  readonly view?: Box;
}

/** Tiles of an image; one that is not cut is a tile itself. */
export function tileCount({ tiles }: Pick<ImageInput, 'tiles'>): number {
  return tiles ? tiles.rows * tiles.columns + Number(tiles.overview !== undefined) : 1;
}

/**
 * Features that lie on the picture row by row. An image has one such grid, or where it is cut one of all tiles and one of the
 * whole picture; features that are in none (a class token, marks between rows) lie nowhere.
 */
export interface FeatureGrid {
  readonly rows: number;
  readonly columns: number;
  /** Which of the image's features lies top left. */
  readonly first: number;
  /** Features from one row's first to the next row's; default `columns`. */
  readonly stride?: number;
  /** The grid is made of tiles of so many rows and columns, whose features follow each other tile by tile. */
  readonly tile?: { readonly rows: number; readonly columns: number };
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

/** Which of the image's features stands at each place of a grid, row by row. */
function featuresOf({ rows, columns, first, stride = columns, tile }: FeatureGrid): number[] {
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (!tile) return first + row * stride + column;
    const across = columns / tile.columns;
    const index = Math.floor(row / tile.rows) * across + Math.floor(column / tile.columns);
    return first + (index * tile.rows + (row % tile.rows)) * tile.columns + (column % tile.columns);
  });
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
    return model.featureGrids(input).map((grid): PatchGrid => {
      const { rows, columns, area } = grid;
      const keys = featuresOf(grid).map((feature) =>
        inPrompt ? (tokens[start + feature] as number) : start + feature,
      );
      return { image, rows, columns, keys, box: input.view && within(input.view, area) };
    });
  });
}

/** Where a feature stands in its image. */
export interface FeaturePlace {
  readonly image: number;
  /**
   * Of an image that is cut: which tile, in the order in which the model reads them. Where rows go through all tiles
   * (LLaVA-NeXT), 0 is the whole picture and 1 the tiles as one.
   */
  readonly tile?: number;
  readonly row: number;
  readonly column: number;
}

/** For each position of a prompt at which a feature of an image stands that lies on it, where that is. */
export function featurePlaces(
  model: Pick<VisionLanguageModel, 'imageAttention' | 'imageToken' | 'featureCount' | 'featureGrids'>,
  { images, ids }: Sample,
): Map<number, FeaturePlace> {
  // Features that another tower attends to stand nowhere in the prompt.
  if (model.imageAttention.endsWith('.cross_attn')) return new Map();
  const tokens = ids.flatMap((id, position) => (id === model.imageToken ? [position] : []));
  const places = new Map<number, FeaturePlace>();
  let start = 0;
  images.forEach((input, image) => {
    const grids = model.featureGrids(input);
    grids.forEach((grid, g) => {
      const size = grid.tile ?? grid;
      featuresOf(grid).forEach((feature, i) => {
        const [row, column] = [Math.floor(i / grid.columns), i % grid.columns];
        // Tiles are as large as the grid of the whole picture beside them.
        const tile = grids.some((other) => other.tile) ? Math.floor(feature / (size.rows * size.columns)) : g;
        const place = { image, row: row % size.rows, column: column % size.columns };
        places.set(
          tokens[start + feature] as number,
          grid.tile || grids.length > 1 ? { ...place, tile } : place,
        );
      });
    });
    start += model.featureCount(input);
  });
  return places;
}

/** `image 0, tile 2, row 3, column 5` */
export function placeName({ image, tile, row, column }: FeaturePlace): string {
  return [
    `image ${image}`,
    ...(tile === undefined ? [] : [`tile ${tile}`]),
    `row ${row}`,
    `column ${column}`,
  ].join(', ');
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
