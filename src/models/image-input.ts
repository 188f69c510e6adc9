// An image as a model reads it, and where on the picture each of its features lies.

import { NoticeError } from '../errors.ts';
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
  /**
   * The grid is made of tiles of so many rows and columns, whose features follow each other tile by tile; `stride` from one
   * tile's first feature to the next one's, default rows · columns.
   */
  readonly tile?: { readonly rows: number; readonly columns: number; readonly stride?: number };
  /** Which feature lies at each place, row by row, where they follow another order (windows); `first` is added. */
  readonly order?: readonly number[];
  /** What of the view the grid covers, in shares of its width and height; default all. */
  readonly area?: Box;
}

/** A grid of features, or of a vision tower's patches, as keys of an attention. */
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
function featuresOf({ rows, columns, first, stride = columns, tile, order }: FeatureGrid): number[] {
  if (order) return order.map((feature) => first + feature);
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (!tile) return first + row * stride + column;
    const across = columns / tile.columns;
    const index = Math.floor(row / tile.rows) * across + Math.floor(column / tile.columns);
    const start = first + index * (tile.stride ?? tile.rows * tile.columns);
    return start + (row % tile.rows) * tile.columns + (column % tile.columns);
  });
}

/** What is asked of a model here. */
type ImageReader = Pick<
  VisionLanguageModel,
  | 'imageAttention'
  | 'imageEmbedding'
  | 'imageToken'
  | 'imagePositions'
  | 'featureCount'
  | 'featureGrids'
  | 'visionGrids'
>;

/**
 * Where an attention's keys lie on the images of a sample.
 *
 * @param attention its hook points without block and `hook_…`: the one that reads the image (default), or the vision tower's
 *   own, whose keys are its positions
 * @throws NoticeError('hook') for an attention of which no key is a patch of the image
 */
export function patchGrids(
  model: ImageReader,
  sample: SampleInput,
  attention: string = model.imageAttention,
): PatchGrid[] {
  const [{ images, ids }] = samplesOf([sample]) as [Sample];
  const [tower] = model.imageEmbedding.split('.');
  const ofVision = attention === `${tower}.attn`;
  if (!ofVision && attention !== model.imageAttention)
    throw new NoticeError(
      'hook',
      `no key of ${attention} is a patch of the image; those of ${model.imageAttention} and ${tower}.attn are`,
    );
  // Keys of cross-attention and of the vision tower are the features themselves; in a prompt each has a token.
  const inPrompt = !ofVision && !attention.endsWith('.cross_attn');
  const tokens = ids.flatMap((id, position) => (id === model.imageToken ? [position] : []));
  let before = 0;
  return images.flatMap((input, image) => {
    const start = before;
    before += ofVision ? model.imagePositions([input]) : model.featureCount(input);
    return (ofVision ? model.visionGrids(input) : model.featureGrids(input)).map((grid): PatchGrid => {
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
