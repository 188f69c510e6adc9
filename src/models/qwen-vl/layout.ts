// Where the patches of a prompt's images lie. They come in blocks that become one feature each, block by block in the order
// of pixel_values; Qwen2.5's tower has them window by window.

import { checkFloats } from '../../check.ts';
import { NoticeError, ShapeError } from '../../errors.ts';
import { refuseVideo } from '../../inputs/index.ts';
import type { ImageInput } from '../image-input.ts';
import type { Places, Sample } from '../model.ts';
import { gridPlace, type KeyRange } from '../tower/index.ts';
import type { QwenVision } from './config.ts';

/** Rows and columns of patches, or of features. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
}

/** The patches of all images of a prompt, one image behind the other. */
export interface Layout {
  readonly images: readonly ImageInput[];
  /** Of every patch in the order of pixel_values: its row and column, and the grid of its image. */
  readonly cells: readonly { readonly row: number; readonly column: number; readonly grid: Grid }[];
  /** The images' patches. */
  readonly whole: readonly KeyRange[];
  /** Where there are windows: the features in their order, and the windows' patches. */
  readonly windows?: { readonly features: readonly number[]; readonly ranges: readonly KeyRange[] };
}

type Settings = Pick<QwenVision, 'merge' | 'window' | 'patchValues'>;

/** @throws ShapeError for an image that is not in patches, or in patches that do not make features */
export function layoutOf(images: readonly ImageInput[], settings: Settings): Layout {
  const { merge, window, patchValues } = settings;
  const grids = images.map((image, i) => {
    const grid = patchGrid(image, merge, `image ${i}`);
    checkFloats(image.data, `image ${i}: data`, grid.rows * grid.columns * patchValues);
    return grid;
  });
  const whole: KeyRange[] = [];
  for (const { rows, columns } of grids) {
    const first = whole.at(-1)?.end ?? 0;
    whole.push({ first, end: first + rows * columns });
  }
  const cells = grids.flatMap((grid) => {
    const features = featureGrid(grid, merge);
    return raster(features).flatMap(([y, x]) =>
      raster({ rows: merge, columns: merge }).map(([dy, dx]) => ({
        ...{ row: y * merge + dy, column: x * merge + dx, grid },
      })),
    );
  });
  if (window === undefined) return { images, cells, whole };
  const features: number[] = [];
  const ranges: KeyRange[] = [];
  grids.forEach((grid, i) => {
    const { rows, columns } = featureGrid(grid, merge);
    const before = (whole[i] as KeyRange).first / merge ** 2;
    // Windows at the right and bottom edge are as small as what is left.
    for (const [top, left] of raster({
      rows: Math.ceil(rows / window),
      columns: Math.ceil(columns / window),
    })) {
      const first = features.length;
      for (let y = top * window; y < Math.min(rows, (top + 1) * window); y++)
        for (let x = left * window; x < Math.min(columns, (left + 1) * window); x++)
          features.push(before + y * columns + x);
      ranges.push({ first: first * merge ** 2, end: features.length * merge ** 2 });
    }
  });
  return { images, cells, whole, windows: { features, ranges } };
}

/** The patch at a position of the tower's blocks. */
export function cellAt({ cells, windows }: Layout, position: number, merge: number): Layout['cells'][number] {
  const within = position % merge ** 2;
  const block = (position - within) / merge ** 2;
  const at = windows ? (windows.features[block] as number) * merge ** 2 + within : position;
  return cells[at] as Layout['cells'][number];
}

/** Of one image: the position of each patch in the tower's blocks, row by row. */
export function patchOrder(layout: Layout, merge: number): number[] {
  const order: number[] = [];
  layout.cells.forEach((_, position) => {
    const { row, column, grid } = cellAt(layout, position, merge);
    order[row * grid.columns + column] = position;
  });
  return order;
}

/**
 * Rows and columns of an image's patches.
 *
 * @throws ShapeError unless they make features
 */
export function patchGrid({ patches }: ImageInput, merge: number, name = 'image'): Grid {
  if (!patches) throw new ShapeError(`${name}: this model reads patches (ImageInput.patches), found pixels`);
  for (const [what, size] of Object.entries(patches))
    if (!(Number.isSafeInteger(size) && size > 0 && size % merge === 0))
      throw new ShapeError(`${name}: ${size} ${what} of patches, expected a multiple of ${merge}`);
  return patches;
}

export function featureGrid({ rows, columns }: Grid, merge: number): Grid {
  return { rows: rows / merge, columns: columns / merge };
}

function raster({ rows, columns }: Grid): (readonly [row: number, column: number])[] {
  return Array.from({ length: rows * columns }, (_, i) => [Math.floor(i / columns), i % columns] as const);
}

/**
 * Position ids of a prompt: text counts on; an image's features have its beginning as their time, and rows and columns from
 * there; the text behind goes on after the larger of its sides.
 *
 * @throws NoticeError('text') unless the prompt has each image's features in its place; for position ids of the caller's, or
 *   a video
 */
export function promptPlaces(
  { ids, images, places: given }: Sample,
  merge: number,
  { imageToken, videoToken }: { readonly imageToken: number; readonly videoToken: number },
): Places {
  // Padding moves no position here: transformers counts without it.
  if (given?.some((place, p) => place - p !== (given[0] as number)))
    throw new NoticeError(
      'text',
      'this model makes position ids from the prompt and its images; others are not taken',
    );
  refuseVideo(ids, videoToken);
  const places: number[] = [];
  let next = 0;
  let image = 0;
  while (places.length < ids.length) {
    if (ids[places.length] !== imageToken) {
      places.push(next++);
      continue;
    }
    const own = images[image];
    const { rows, columns } = own
      ? featureGrid(patchGrid(own, merge, `image ${image}`), merge)
      : { rows: 0, columns: 0 };
    const found = ids
      .slice(places.length, places.length + rows * columns)
      .filter((id) => id === imageToken).length;
    if (found === 0 || found < rows * columns)
      throw new NoticeError(
        'text',
        `the prompt has ${found} tokens (id ${imageToken}) in a row for image ${image} of ${images.length}, which has ` +
          `${rows * columns} features; the model's expand() puts in as many as are needed`,
      );
    for (const [row, column] of raster({ rows, columns })) places.push(gridPlace(next, row, column));
    next += Math.max(rows, columns);
    image++;
  }
  if (image < images.length)
    throw new NoticeError(
      'text',
      `the prompt has features of ${image} images (token id ${imageToken}), not of ${images.length}`,
    );
  return { ids: places, next };
}
