// Masks of inpainting: which pixels are painted over, and putting the original back around them. Behaviour is that of
// diffusers' VaeImageProcessor for masks (do_binarize, do_convert_grayscale).

import { NoticeError } from '../errors.ts';
import type { RgbImage } from './image.ts';
import { resize } from './resample.ts';

/** A decoded mask. Its mode is that of Pillow: pictures of two colours and of palettes are resized without a filter. */
export interface MaskImage extends RgbImage {
  /** [height · width], where the file has an alpha channel: resizing weighs colours by it, else it is ignored. */
  readonly alpha?: Uint8Array;
  /** Whether the file is of mode 1 or P. */
  readonly indexed?: boolean;
}

/**
 * A mask at a size: resized in its own mode, then grey, at least 128 of 255 is painted over.
 *
 * @returns [height · width] of 0 and 1
 */
export function maskOf(mask: MaskImage, width: number, height: number): Uint8Array {
  return greyOf(mask, width, height).map((value) => Number(value >= 128));
}

/** The grey values of a mask at a size, Pillow's `resize` and `convert('L')`. */
export function greyOf(mask: MaskImage, width: number, height: number): Uint8Array {
  const { data } = mask.indexed ? nearest(mask, width, height) : resizeMask(mask, width, height);
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const [red, green, blue] = data.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16; // ITU-R 601-2, in Pillow's fixed point
  });
}

function resizeMask(mask: MaskImage, width: number, height: number): RgbImage {
  const { alpha } = mask;
  if (!alpha) return resize(mask, width, height, 'lanczos', 'pil');
  if (mask.width === width && mask.height === height) return mask;
  // RGBA goes through RGBa and back: colours times alpha, resized, divided by the alpha that was resized beside them.
  const weighed = {
    ...mask,
    data: mask.data.map((value, i) => times255(value, alpha[Math.floor(i / 3)] as number)),
  };
  const colours = resize(weighed, width, height, 'lanczos', 'pil');
  const alphas = {
    ...mask,
    data: Uint8Array.from({ length: 3 * alpha.length }, (_, i) => alpha[Math.floor(i / 3)] as number),
  };
  const resized = resize(alphas, width, height, 'lanczos', 'pil');
  return {
    ...colours,
    data: colours.data.map((value, i) => {
      const own = resized.data[i] as number;
      return own === 0 || own === 255 ? value : Math.min(255, Math.floor((255 * value) / own));
    }),
  };
}

/** Pillow's MULDIV255. */
function times255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Pillow's NEAREST: the pixel at the centre. */
function nearest(image: RgbImage, width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const row = Math.floor(((y + 0.5) * image.height) / height);
      const column = Math.floor(((x + 0.5) * image.width) / width);
      const from = 3 * (row * image.width + column);
      data.set(image.data.subarray(from, from + 3), 3 * (y * width + x));
    }
  return { width, height, data };
}

/**
 * The original with the painted pixels where the mask is 1: outside it the two pictures are the same.
 *
 * @param painted resized to the original's size (Pillow's Lanczos) if it has another
 * @param mask [height · width] of the original
 * @throws NoticeError('image') for a mask of another size
 */
export function pasteOver(original: RgbImage, painted: RgbImage, mask: Uint8Array): RgbImage {
  const { width, height } = original;
  if (mask.length !== width * height)
    throw new NoticeError(
      'image',
      `a mask of ${mask.length} values for a picture of ${width} × ${height} pixels`,
    );
  const fitting = resize(painted, width, height, 'lanczos', 'pil');
  const data = original.data.map((value, i) =>
    mask[Math.floor(i / 3)] === 1 ? (fitting.data[i] as number) : value,
  );
  return { width, height, data };
}
