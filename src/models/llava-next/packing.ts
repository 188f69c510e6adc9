// Which features of a picture's tiles stand in the prompt, in which order: those of the whole picture, then the grid of all other
// tiles' row by row, without the rows or columns that are padding, scaled down where there are too many; a newline ends each row.

import { NoticeError } from '../../errors.ts';
import { type Box, fitted } from '../../inputs/index.ts';
import type { Blend } from '../../kernels/index.ts';
import { type FeatureGrid, type ImageInput, sameImages, tileCount } from '../image-input.ts';
import type { ModelRun, Sample } from '../model.ts';
import { sequenceIn } from '../sequences.ts';
import { Sequence } from '../tower/index.ts';

export interface PackingSettings {
  /** Features in a row of a tile. */
  readonly side: number;
  /** A grid of more than 1.1² times the features of so many tiles is scaled down; undefined: never. */
  readonly mostTiles?: number | undefined;
}

/** A feature of a prompt: one of the tiles', what lies between four of them, or the newline. */
export type PackedFeature = number | Blend | 'newline';

/** Rows, or columns, of the grid of all tiles but the whole picture. */
interface Axis {
  /** Of all tiles together. */
  readonly all: number;
  /** The first that is not padding, and how many are not. */
  readonly first: number;
  readonly kept: number;
  /** How many these are scaled to. */
  readonly count: number;
}

/** @throws NoticeError('image') for an image in tiles of which no size is known */
export function packedFeatures(image: ImageInput, settings: PackingSettings): PackedFeature[] {
  const { side } = settings;
  const whole = Array.from({ length: side ** 2 }, (_, feature) => feature);
  const grid = gridOf(image, settings);
  if (!grid) return [...whole, 'newline'];
  const [rows, columns] = grid;
  const at = (row: number, column: number): number => {
    const tile = 1 + (Math.floor(row / side) * columns.all) / side + Math.floor(column / side);
    return tile * side ** 2 + (row % side) * side + (column % side);
  };
  const scaled = grid.some(({ kept, count }) => kept !== count);
  const features = places(rows).flatMap((row): PackedFeature[] => [
    ...places(columns).map((column) => {
      if (!scaled) return at(row.lower, column.lower);
      return [
        [at(row.lower, column.lower), (1 - row.share) * (1 - column.share)],
        [at(row.lower, column.upper), (1 - row.share) * column.share],
        [at(row.upper, column.lower), row.share * (1 - column.share)],
        [at(row.upper, column.upper), row.share * column.share],
      ] satisfies Blend;
    }),
    'newline',
  ]);
  return [...whole, ...features];
}

/** How many features that are. */
export function packedCount(image: ImageInput, settings: PackingSettings): number {
  const grid = gridOf(image, settings);
  return settings.side ** 2 + (grid ? grid[0].count * (grid[1].count + 1) : 1);
}

/** Where they lie: the whole picture's, then the grid's, which may reach a little beyond the picture into its padding. */
export function packedGrids(image: ImageInput, settings: PackingSettings): FeatureGrid[] {
  const { side } = settings;
  const whole = { rows: side, columns: side, first: 0 };
  const grid = gridOf(image, settings);
  if (!grid || !image.picture) return [whole];
  const [rows, columns] = grid;
  const [height, width] = [(rows.all / side) * image.height, (columns.all / side) * image.width];
  const size = fitted(image.picture, { height, width });
  const share = ({ all, first, kept }: Axis, canvas: number, shown: number): [number, number] => {
    const margin = Math.floor((canvas - shown) / 2);
    const pitch = canvas / all;
    return [(first * pitch - margin) / shown, ((first + kept) * pitch - margin) / shown];
  };
  const [top, bottom] = share(rows, height, size.height);
  const [left, right] = share(columns, width, size.width);
  const area: Box = [left, top, right, bottom];
  return [
    whole,
    { rows: rows.count, columns: columns.count, first: side ** 2, stride: columns.count + 1, area },
  ];
}

/** What all tiles together show, in shares of the picture: it and the padding around it. */
export function canvasArea({ tiles, picture, height, width }: ImageInput): Box | undefined {
  if (!tiles || !picture) return undefined;
  const canvas = { height: tiles.rows * height, width: tiles.columns * width };
  const shown = fitted(picture, canvas);
  const margin = (all: number, size: number) => Math.floor((all - size) / 2) / size;
  const [left, top] = [margin(canvas.width, shown.width), margin(canvas.height, shown.height)];
  return [-left, -top, canvas.width / shown.width - left, canvas.height / shown.height - top];
}

/** The grid of an image that is cut. */
function gridOf(
  image: ImageInput,
  { side, mostTiles }: PackingSettings,
): [rows: Axis, columns: Axis] | undefined {
  const { tiles, picture } = image;
  if (!tiles || tiles.rows * tiles.columns === 0) return undefined;
  if (!picture)
    throw new NoticeError('image', 'an image in tiles whose size in pixels is not known (`picture`)');
  const [allRows, allColumns] = [tiles.rows * side, tiles.columns * side];
  const whole = (all: number) => ({ all, first: 0, kept: all });
  /** What is left of an axis whose picture has `size` features: an odd margin leaves one row of padding in. */
  const cut = (all: number, size: number) => {
    // Python's int(round(size, 7))
    const first = Math.floor((all - Math.floor(Number(size.toFixed(7)))) / 2);
    return { all, first, kept: all - 2 * first };
  };
  const { width, height } = picture;
  const [rows, columns] =
    width / height > allColumns / allRows
      ? [cut(allRows, height * (allColumns / width)), whole(allColumns)]
      : [whole(allRows), cut(allColumns, width * (allRows / height))];
  const ratio = mostTiles === undefined ? 1 : Math.sqrt((rows.kept * columns.kept) / (mostTiles * side ** 2));
  const scaled = (axis: Omit<Axis, 'count'>): Axis => ({
    ...axis,
    count: ratio > 1.1 ? floorDivide(axis.kept, ratio) : axis.kept,
  });
  return [scaled(rows), scaled(columns)];
}

/** Python's a // b of floats, which the rounding of a / b cannot carry to the next integer. */
function floorDivide(a: number, b: number): number {
  return Math.round((a - (a % b)) / b);
}

/** The rows, or columns, between which each one of an axis lies: torch's bilinear interpolation, corners not aligned. */
function places({ first, kept, count }: Axis): { lower: number; upper: number; share: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const place = Math.max(0, (i + 0.5) * (kept / count) - 0.5);
    const lower = Math.floor(place);
    return { lower: first + lower, upper: first + Math.min(lower + 1, kept - 1), share: place - lower };
  });
}

/** The tower `packed` has runs of the features as they stand in the prompt; no hook point belongs to it. */
export const PACKED = 'packed';

/**
 * Makes the runs of {@link PACKED}. Their rows are those of the projector's output, then one of the newline, then blends.
 *
 * @param rows of the projector's output
 * @returns which of these rows each blend is made of
 */
export function packRuns(runs: readonly ModelRun[], rows: number, settings: PackingSettings): Blend[] {
  const blends: Blend[] = [];
  const made = new Map<Sequence, { readonly packed: Sequence; readonly sample: Sample }>();
  for (const run of runs) {
    const source = sequenceIn(run, 'projector');
    const { sample } = run;
    const known = made.get(source)?.packed;
    if (known) {
      run.towers.set(PACKED, known);
      continue;
    }
    const above = source.base && made.get(source.base);
    const base = above && sameImages(sample, above.sample) ? above.packed : undefined;
    const features = featuresOf(sample, settings);
    const packed = new Sequence(features.length, { base });
    const changed = (feature: number) => !base || source.owns(feature);
    features.forEach((feature, p) => {
      if (feature === 'newline') {
        if (!base) packed.rows[p] = rows;
      } else if (typeof feature === 'number') {
        if (changed(feature)) packed.rows[p] = source.row(feature);
      } else if (feature.some(([one]) => changed(one))) {
        packed.rows[p] = rows + 1 + blends.length;
        blends.push(feature.map(([one, share]) => [source.row(one), share]));
      }
    });
    made.set(source, { packed, sample });
    run.towers.set(PACKED, packed);
  }
  return blends;
}

/** Features of all images of a sample, numbered through. */
function featuresOf({ images }: Sample, settings: PackingSettings): PackedFeature[] {
  let before = 0;
  return images.flatMap((image) => {
    const first = before;
    before += tileCount(image) * settings.side ** 2;
    return packedFeatures(image, settings).map((feature) => {
      if (feature === 'newline') return feature;
      if (typeof feature === 'number') return first + feature;
      return feature.map(([one, share]) => [first + one, share] as const);
    });
  });
}
