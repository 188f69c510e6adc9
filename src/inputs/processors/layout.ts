// What the image processors of all families have in common: a picture is resized, and cut into what the model reads.

import type { Box, RgbImage } from '../image.ts';

/** Tiles of a picture row by row, and where among them the whole picture stands, made small, if it does. */
export interface TileGrid {
  readonly rows: number;
  readonly columns: number;
  readonly overview?: 'first' | 'last';
}

/** A picture as a family's processor cuts it, before rescaling and normalising. */
export interface CutPicture {
  /** What the model reads, all of one size; more than one only with a grid. */
  readonly tiles: readonly RgbImage[];
  readonly grid?: TileGrid;
  /** The picture as the model sees it, for display. */
  readonly shown: RgbImage;
  /** The part of the picture that is shown, in its pixels; what was added around it lies outside. */
  readonly view: Box;
}

/** Resizes by the processor's filter and backend. */
export type Resize = (image: RgbImage, width: number, height: number) => RgbImage;

/** How pixels are packed into rows of patches, as Qwen's towers read them. */
export interface PatchPacking {
  /** Side of a patch in pixels. */
  readonly patch: number;
  /** Side of a block of patches that stand together, in patches. */
  readonly merge: number;
  /** How often each patch stands in its row: frames of a film, which a still picture repeats. */
  readonly frames: number;
}

/** How a family brings pictures to what its model reads. */
export interface PictureLayout {
  /** How the pixels are packed afterwards; default not at all. */
  readonly packing?: PatchPacking;
  /**
   * @param pictures how many pictures stand in the prompt
   * @throws NoticeError('image') for a picture that the family does not read
   */
  cut(image: RgbImage, resize: Resize, pictures: number): CutPicture;
}

/** A picture of which nothing is cut off. */
export function uncut(
  image: RgbImage,
  tiles: readonly RgbImage[],
  shown: RgbImage,
  grid?: TileGrid,
): CutPicture {
  return { tiles, shown, view: [0, 0, image.width, image.height], ...(grid ? { grid } : {}) };
}

/**
 * A window of a picture, which may reach beyond it.
 *
 * @param fill colour of what lies outside
 */
export function windowOf(
  image: RgbImage,
  [left, top]: readonly [left: number, top: number],
  { width, height }: { readonly width: number; readonly height: number },
  fill: readonly number[] = [0, 0, 0],
): RgbImage {
  const data = new Uint8Array(width * height * 3);
  if (fill.some(Boolean))
    data.forEach((_, i) => {
      data[i] = fill[i % 3] as number;
    });
  const from = Math.max(0, left);
  const to = Math.min(image.width, left + width);
  for (let y = Math.max(0, top); y < Math.min(image.height, top + height); y++) {
    const row = image.data.subarray((y * image.width + from) * 3, (y * image.width + to) * 3);
    data.set(row, ((y - top) * width + from - left) * 3);
  }
  return { width, height, data };
}

/** Square tiles of a picture whose sides they divide, row by row. */
export function squareTiles(image: RgbImage, side: number): RgbImage[] {
  const [rows, columns] = [image.height / side, image.width / side];
  return Array.from({ length: rows * columns }, (_, i) =>
    windowOf(image, [(i % columns) * side, Math.floor(i / columns) * side], { width: side, height: side }),
  );
}
