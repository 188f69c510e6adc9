// Where a box of the original image lies on the grid of patches that the model sees.

import { NoticeError } from '../errors.ts';
import type { GridSize } from './overlay.ts';

/** Pixels, [left, top, right, bottom], right and bottom exclusive. */
export type Box = readonly [number, number, number, number];

/**
 * How the image was brought to the model's square: `stretch` (BLIP) scales both sides on their own, `centre-crop` (CLIP)
 * scales the shorter side and cuts off the ends of the longer one.
 */
export type ImageFit = 'stretch' | 'centre-crop';

/**
 * The share of each patch that the box covers, 0 … 1, [row, column]. All 0 if a centre crop cut the box off.
 * The crop is taken at its exact place; processors round it to a pixel of the scaled image.
 * @throws NoticeError('data') for a box that is empty or not inside the image
 */
export function boxCoverage(
  box: Box,
  image: { readonly width: number; readonly height: number },
  { rows, columns }: GridSize,
  fit: ImageFit = 'stretch',
): Float32Array {
  const { width, height } = image;
  const [left, top, right, bottom] = box;
  if (!(left >= 0 && top >= 0 && left < right && top < bottom && right <= width && bottom <= height)) {
    throw new NoticeError(
      'data',
      `The box [${box.join(', ')}] (left, top, right, bottom) is empty or not inside the ${width} × ${height} image.`,
    );
  }
  const side = Math.min(width, height);
  const [visibleWidth, visibleHeight] = fit === 'stretch' ? [width, height] : [side, side];
  const x = (pixel: number) => ((pixel - (width - visibleWidth) / 2) / visibleWidth) * columns;
  const y = (pixel: number) => ((pixel - (height - visibleHeight) / 2) / visibleHeight) * rows;

  const overlap = (from: number, to: number, cell: number) =>
    Math.max(0, Math.min(to, cell + 1) - Math.max(from, cell));
  const coverage = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      coverage[r * columns + c] = overlap(x(left), x(right), c) * overlap(y(top), y(bottom), r);
    }
  }
  return coverage;
}
