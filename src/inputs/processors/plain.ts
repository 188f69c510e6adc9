// One picture, resized and perhaps cropped: BlipImageProcessor, CLIPImageProcessor, SiglipImageProcessor.

import type { RgbImage } from '../image.ts';
import type { ImageBackend } from '../resample.ts';
import { type Fields, fail, flag, isObject, type Size, whole, widthAndHeight } from './fields.ts';
import { type CutPicture, type PictureLayout, type Resize, windowOf } from './layout.ts';

export class PlainLayout implements PictureLayout {
  /** Target of the resize: fixed, or by the shorter side with the aspect kept; default not resized. */
  readonly size: Size | { readonly shortestEdge: number } | undefined;
  /** Window cut out of the middle, in pixels. */
  readonly crop: Size | undefined;
  readonly #startOf: (size: number, window: number) => number;

  constructor(size: PlainLayout['size'], crop: PlainLayout['crop'], backend: ImageBackend) {
    this.size = size;
    this.crop = crop;
    this.#startOf = backend === 'torchvision' ? torchvisionStart : pillowStart;
  }

  cut(image: RgbImage, resize: Resize): CutPicture {
    const { crop } = this;
    const resized = this.#resized(image, resize);
    const corner = crop
      ? ([this.#startOf(resized.width, crop.width), this.#startOf(resized.height, crop.height)] as const)
      : ([0, 0] as const);
    const shown = crop ? windowOf(resized, corner, crop) : resized;
    const [left, top] = corner;
    const [x, y] = [image.width / resized.width, image.height / resized.height];
    const view = [left * x, top * y, (left + shown.width) * x, (top + shown.height) * y] as const;
    return { tiles: [shown], shown, view };
  }

  #resized(image: RgbImage, resize: Resize): RgbImage {
    const { size } = this;
    if (!size) return image;
    if (!('shortestEdge' in size)) return resize(image, size.width, size.height);
    const { width, height } = image;
    const edge = size.shortestEdge;
    const long = Math.trunc((edge * Math.max(width, height)) / Math.min(width, height));
    return width <= height ? resize(image, edge, long) : resize(image, long, edge);
  }
}

/**
 * Where the window begins in the picture; negative if black is added. The PIL processors round the margin down when they
 * cut, and add the margin rounded up, from which they then cut the window out of what is at least as large.
 */
function pillowStart(size: number, window: number): number {
  return Math.floor((size - window) / 2);
}

/** torchvision's processors round both margins down. */
function torchvisionStart(size: number, window: number): number {
  return Math.trunc((size - window) / 2);
}

export interface PlainKind {
  /** Pixels of a square, or `shortestEdge` where the class keeps the aspect. */
  readonly edge: number;
  /** Whether a plain number, or `shortest_edge`, is the shorter side, of which a square is cut. */
  readonly crops: boolean;
}

export function plainLayout(json: Fields, { edge, crops }: PlainKind, backend: ImageBackend): PlainLayout {
  if (json.do_pad === true) fail('do_pad is true, which is not supported.');
  const crop = crops && flag(json, 'do_center_crop') ? cropSize(json.crop_size ?? edge) : undefined;
  const size = json.size ?? (crops ? { shortest_edge: edge } : edge);
  return new PlainLayout(flag(json, 'do_resize') ? targetSize(size, crops) : undefined, crop, backend);
}

function targetSize(size: unknown, crops: boolean): PlainLayout['size'] {
  if (typeof size === 'number') {
    const edge = whole(size, 'size');
    return crops ? { shortestEdge: edge } : { width: edge, height: edge };
  }
  if (isObject(size) && crops && 'shortest_edge' in size) {
    return { shortestEdge: whole(size.shortest_edge, 'size.shortest_edge') };
  }
  return widthAndHeight(size, 'size');
}

function cropSize(size: unknown): Size {
  if (typeof size !== 'number') return widthAndHeight(size, 'crop_size');
  const edge = whole(size, 'crop_size');
  return { width: edge, height: edge };
}
