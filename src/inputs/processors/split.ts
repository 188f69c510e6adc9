// SmolVLMImageProcessor and Idefics3ImageProcessor: the picture at a large size, cut into square tiles, and last the whole
// of it, squeezed into one.

import type { RgbImage } from '../image.ts';
import { type Fields, fail, flag, isObject, type Size, show, whole, widthAndHeight } from './fields.ts';
import { type CutPicture, type PictureLayout, type Resize, squareTiles, uncut } from './layout.ts';

/** Longest side of what a picture is resized to, in pixels, whatever the settings. */
const LONGEST = 4096;

export class SplitLayout implements PictureLayout {
  /** What the longer side becomes before it is cut, or the whole size; default the picture's own. */
  readonly size: Size | { readonly longestEdge: number } | undefined;
  /** Side of a tile. */
  readonly tile: number;
  /** Whether it is cut at all. */
  readonly splits: boolean;

  constructor(size: SplitLayout['size'], tile: number, splits: boolean) {
    this.size = size;
    this.tile = tile;
    this.splits = splits;
  }

  cut(image: RgbImage, resize: Resize): CutPicture {
    const { size, tile } = this;
    const target = size && ('longestEdge' in size ? enlarged(image, size.longestEdge) : size);
    const large = target ? resize(image, target.width, target.height) : image;
    const unsplit = { rows: 0, columns: 0, overview: 'last' } as const;
    if (!this.splits) {
      const squeezed = resize(large, tile, tile);
      return uncut(image, [squeezed], squeezed, unsplit);
    }
    const whole = wholeTiles(large, tile);
    const shown = resize(large, whole.width, whole.height);
    if (shown.width <= tile && shown.height <= tile) return uncut(image, [shown], shown, unsplit);
    const grid = { rows: shown.height / tile, columns: shown.width / tile, overview: 'last' } as const;
    return uncut(image, [...squareTiles(shown, tile), resize(shown, tile, tile)], shown, grid);
  }
}

/** The longer side becomes `edge`, the shorter one an even number. */
function enlarged({ width, height }: Size, edge: number): Size {
  const even = (side: number) => side + (side % 2);
  const aspect = width / height;
  return atMost(
    width >= height
      ? { width: edge, height: Math.max(even(Math.trunc(edge / aspect)), 1) }
      : { width: Math.max(even(Math.trunc(edge * aspect)), 1), height: edge },
  );
}

function atMost({ width, height }: Size): Size {
  const aspect = width / height;
  if (width >= height && width > LONGEST)
    return { width: LONGEST, height: Math.max(Math.trunc(LONGEST / aspect), 1) };
  if (height > width && height > LONGEST)
    return { width: Math.max(Math.trunc(LONGEST * aspect), 1), height: LONGEST };
  return { width, height };
}

/** Sides that are multiples of the tile's, the aspect nearly kept. */
function wholeTiles({ width, height }: Size, tile: number): Size {
  const up = (side: number) => Math.ceil(side / tile) * tile;
  const aspect = width / height;
  if (width >= height) return { width: up(width), height: up(Math.trunc(up(width) / aspect)) };
  return { width: up(Math.trunc(up(height) * aspect)), height: up(height) };
}

export function splitLayout(json: Fields): SplitLayout {
  const tile = json.max_image_size ?? { longest_edge: 364 };
  if (!isObject(tile)) fail(`max_image_size is ${show(tile)}; expected longest_edge.`);
  const size = json.size ?? { longest_edge: 4 * 364 };
  const longest = isObject(size) && 'longest_edge' in size;
  return new SplitLayout(
    flag(json, 'do_resize')
      ? longest
        ? { longestEdge: whole(size.longest_edge, 'size.longest_edge') }
        : widthAndHeight(size, 'size')
      : undefined,
    whole(tile.longest_edge, 'max_image_size.longest_edge'),
    flag(json, 'do_image_splitting'),
  );
}
