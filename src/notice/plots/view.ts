// The part of a picture that a model sees, as the square that figures show.

import type { Box } from '../../analysis/patch-grid.ts';
import { type RgbImage, resize } from '../../inputs/index.ts';

/** What a picture shows in a view of it, in its pixels, as a square; and a box of the picture as one of that square. */
export function inView(
  picture: RgbImage,
  view: Box,
  box?: Box | undefined,
): { image: RgbImage; box: Box | undefined } {
  const image = cut(picture, view);
  const side = Math.min(image.width, image.height);
  const [sx, sy] = [side / (view[2] - view[0]), side / (view[3] - view[1])];
  return {
    image: image.width === image.height ? image : resize(image, side, side, 'bicubic'),
    box: box && [
      (box[0] - view[0]) * sx,
      (box[1] - view[1]) * sy,
      (box[2] - view[0]) * sx,
      (box[3] - view[1]) * sy,
    ],
  };
}

/** A part of a picture; black where it goes beyond. */
function cut(picture: RgbImage, box: Box): RgbImage {
  const [left, top, right, bottom] = box.map(Math.round) as [number, number, number, number];
  const [width, height] = [right - left, bottom - top];
  const data = new Uint8Array(3 * width * height);
  const [from, to] = [Math.max(0, left), Math.min(picture.width, right)];
  for (let y = Math.max(0, top); y < Math.min(picture.height, bottom); y++) {
    const row = picture.data.subarray(3 * (y * picture.width + from), 3 * (y * picture.width + to));
    data.set(row, 3 * ((y - top) * width + from - left));
  }
  return { width, height, data };
}
