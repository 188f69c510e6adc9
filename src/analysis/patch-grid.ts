// Where a box of the original image lies on the grid of patches that the model sees.

import { NoticeError } from '../errors.ts';
import type { GridSize } from './overlay.ts';

/** Pixels, [left, top, right, bottom], right and bottom exclusive. */
export type Box = readonly [number, number, number, number];

/**
 * The share of each patch that the box covers, 0 … 1, [row, column]. All 0 if the box is not in view.
 * @param view the part of the image that the grid covers, in the image's pixels
 * @throws NoticeError('data') for a box that is empty or not inside the image
 */
export function boxCoverage(
  box: Box,
  image: { readonly width: number; readonly height: number },
  { rows, columns }: GridSize,
  view: Box = [0, 0, image.width, image.height],
): Float32Array {
  const { width, height } = image;
  const [left, top, right, bottom] = box;
  if (!(left >= 0 && top >= 0 && left < right && top < bottom && right <= width && bottom <= height)) {
    throw new NoticeError(
      'data',
      `The box [${box.join(', ')}] (left, top, right, bottom) is empty or not inside the ${width} × ${height} image.`,
    );
  }
  const x = (pixel: number) => ((pixel - view[0]) / (view[2] - view[0])) * columns;
  const y = (pixel: number) => ((pixel - view[1]) / (view[3] - view[1])) * rows;

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
