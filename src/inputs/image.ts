import { NoticeError } from '../errors.ts';

/** Pixels, [left, top, right, bottom], right and bottom exclusive. */
export type Box = readonly [left: number, top: number, right: number, bottom: number];

/** A decoded picture: 8-bit RGB, row by row from the top left, three bytes a pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly data: Uint8Array;
}

/**
 * Turns an encoded file into pixels as Pillow's `Image.open(file).convert('RGB')` does: alpha is dropped, not
 * blended, colour profiles are ignored, EXIF orientation is not applied.
 *
 * `name` is the file's name for messages; every failure is a NoticeError('image') that carries it.
 */
export type ImageDecoder = (bytes: Uint8Array, name: string) => Promise<RgbImage>;

/** Pixels in the largest picture that is processed: where Pillow raises DecompressionBombError. */
export const MAX_IMAGE_PIXELS = 178_956_970;

/**
 * Checks a picture's size before its pixels are allocated.
 *
 * @throws NoticeError('image') if a side is zero or there are more than {@link MAX_IMAGE_PIXELS} pixels
 */
export function checkImageSize(width: number, height: number, name: string): void {
  if (!(width >= 1 && height >= 1)) {
    throw new NoticeError('image', `${name}: the image is ${width}×${height} pixels, it has no content.`);
  }
  if (width * height > MAX_IMAGE_PIXELS) {
    throw new NoticeError(
      'image',
      `${name}: ${width}×${height} is more than ${MAX_IMAGE_PIXELS} pixels. Scale the image down first.`,
    );
  }
}

/**
 * A copy of a picture in which boxes are painted over with the picture's mean colour.
 *
 * @param boxes in the picture's pixels; what lies outside of it is left out
 */
export function paintOver(image: RgbImage, boxes: readonly Box[]): RgbImage {
  const { width, height } = image;
  const data = image.data.slice();
  const colour = [0, 1, 2].map((channel) => {
    let sum = 0;
    for (let i = channel; i < image.data.length; i += 3) sum += image.data[i] as number;
    return Math.round(sum / (width * height));
  });
  for (const [left, top, right, bottom] of boxes)
    for (let y = Math.max(0, Math.round(top)); y < Math.min(height, Math.round(bottom)); y++)
      for (let x = Math.max(0, Math.round(left)); x < Math.min(width, Math.round(right)); x++)
        data.set(colour, 3 * (y * width + x));
  return { width, height, data };
}
