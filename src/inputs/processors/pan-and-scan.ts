// Gemma3ImageProcessor: the picture squeezed into a square and, where pan-and-scan is on, crops along its longer side.

import type { RgbImage } from '../image.ts';
import { type Fields, flag, mustBeOn, number, type Size, whole, widthAndHeight } from './fields.ts';
import {
  type CutPicture,
  type PictureLayout,
  type Resize,
  type TileGrid,
  uncut,
  windowOf,
} from './layout.ts';

export interface PanAndScan {
  /** Least side of a crop, in pixels of the picture. */
  readonly leastCrop: number;
  readonly mostCrops: number;
  /** Least aspect at which it crops. */
  readonly leastAspect: number;
}

export class PanAndScanLayout implements PictureLayout {
  readonly size: Size;
  readonly crops: PanAndScan | undefined;

  constructor(size: Size, crops: PanAndScan | undefined) {
    this.size = size;
    this.crops = crops;
  }

  cut(image: RgbImage, resize: Resize): CutPicture {
    const { width, height } = this.size;
    const shown = resize(image, width, height);
    if (!this.crops) return uncut(image, [shown], shown);
    const { grid, boxes } = cropsOf(image, this.crops);
    const parts = boxes.map(([corner, size]) => resize(windowOf(image, corner, size), width, height));
    return uncut(image, [shown, ...parts], shown, grid);
  }
}

type CropBox = readonly [corner: readonly [left: number, top: number], size: Size];

/** Crops of one size, the last of which may be smaller. */
function cropsOf({ width, height }: Size, { leastCrop, mostCrops, leastAspect }: PanAndScan) {
  const [long, short] = [Math.max(width, height), Math.min(width, height)];
  const none = { grid: { rows: 0, columns: 0, overview: 'first' } as TileGrid, boxes: [] as CropBox[] };
  if (long / short < leastAspect) return none;
  const fitting = Math.min(Math.floor(long / leastCrop), Math.floor(long / short + 0.5));
  const count = Math.min(mostCrops, Math.max(2, fitting));
  const step = Math.ceil(long / count);
  if (Math.min(step, short) < leastCrop) return none;
  const boxes = Array.from({ length: count }, (_, i): CropBox => {
    const part = Math.min(step, long - i * step);
    return width >= height
      ? [[i * step, 0], { width: part, height }]
      : [[0, i * step], { width, height: part }];
  });
  const grid: TileGrid = {
    ...(width >= height ? { rows: 1, columns: count } : { rows: count, columns: 1 }),
    overview: 'first',
  };
  return { grid, boxes };
}

export function panAndScanLayout(json: Fields): PanAndScanLayout {
  mustBeOn(json, 'do_resize');
  const pan = 'pan_and_scan';
  return new PanAndScanLayout(
    widthAndHeight(json.size ?? { height: 224, width: 224 }, 'size'),
    flag(json, 'do_pan_and_scan', false)
      ? {
          // Defaults of Gemma3Processor.
          leastCrop: whole(json[`${pan}_min_crop_size`] ?? 256, `${pan}_min_crop_size`),
          mostCrops: whole(json[`${pan}_max_num_crops`] ?? 4, `${pan}_max_num_crops`, 'crops'),
          leastAspect: number(json[`${pan}_min_ratio_to_activate`] ?? 1.2, `${pan}_min_ratio_to_activate`),
        }
      : undefined,
  );
}
