// LlavaNextImageProcessor and LlavaOnevisionImageProcessor: the whole picture squeezed into a square, and behind it tiles
// of the picture at the best of some resolutions, the aspect kept and black added around it.

import type { RgbImage } from '../image.ts';
import { type Fields, fail, flag, type Size, show, squareSide, whole } from './fields.ts';
import { type CutPicture, type PictureLayout, type Resize, squareTiles, uncut, windowOf } from './layout.ts';

export class AnyresLayout implements PictureLayout {
  /** Side of a tile. */
  readonly tile: number;
  readonly resolutions: readonly Size[];
  /** Where each of several pictures in a prompt is one square: the colour added around it, bytes. */
  readonly background: readonly number[] | undefined;

  constructor(tile: number, resolutions: readonly Size[], background: readonly number[] | undefined) {
    this.tile = tile;
    this.resolutions = resolutions;
    this.background = background;
  }

  cut(image: RgbImage, resize: Resize, pictures: number): CutPicture {
    const { tile, background } = this;
    if (background && pictures > 1) return this.#square(image, resize, background);
    const overview = resize(image, tile, tile);
    const best = bestResolution(image, this.resolutions);
    const { width, height } = fitted(image, best);
    const corner = [-Math.floor((best.width - width) / 2), -Math.floor((best.height - height) / 2)] as const;
    const padded = windowOf(resize(image, width, height), corner, best);
    const grid = { rows: best.height / tile, columns: best.width / tile, overview: 'first' } as const;
    return uncut(image, [overview, ...squareTiles(padded, tile)], overview, grid);
  }

  #square(image: RgbImage, resize: Resize, background: readonly number[]): CutPicture {
    const side = Math.max(image.width, image.height);
    const left = Math.floor((side - image.width) / 2);
    const top = Math.floor((side - image.height) / 2);
    const square = windowOf(image, [-left, -top], { width: side, height: side }, background);
    const shown = resize(square, this.tile, this.tile);
    const grid = { rows: 0, columns: 0, overview: 'first' } as const;
    return { tiles: [shown], grid, shown, view: [0 - left, 0 - top, side - left, side - top] };
  }
}

/** `select_best_resolution`: that which keeps most of the picture's pixels, then that which wastes least. */
export function bestResolution({ width, height }: Size, resolutions: readonly Size[]): Size {
  let best = resolutions[0] as Size;
  let [mostKept, leastWasted] = [0, Infinity];
  for (const resolution of resolutions) {
    const scale = Math.min(resolution.width / width, resolution.height / height);
    const kept = Math.min(Math.trunc(width * scale) * Math.trunc(height * scale), width * height);
    const wasted = resolution.width * resolution.height - kept;
    if (kept > mostKept || (kept === mostKept && wasted < leastWasted)) {
      [best, mostKept, leastWasted] = [resolution, kept, wasted];
    }
  }
  return best;
}

/** `get_patch_output_size`: the largest size in the frame that has the picture's aspect. */
export function fitted({ width, height }: Size, frame: Size): Size {
  const [across, down] = [frame.width / width, frame.height / height];
  return across < down
    ? { width: frame.width, height: Math.min(Math.ceil(height * across), frame.height) }
    : { width: Math.min(Math.ceil(width * down), frame.width), height: frame.height };
}

/** Resolutions of LLaVA-NeXT: [height, width]. */
export const NEXT: readonly (readonly [number, number])[] = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
]; // prettier-ignore

/** Of LLaVA-OneVision: all with sides of one to six tiles. */
export const ONEVISION = Array.from(
  { length: 36 },
  (_, i) => [384 * (1 + Math.floor(i / 6)), 384 * (1 + (i % 6))] as const,
);

export function nextLayout(json: Fields): AnyresLayout {
  const tile = squareSide(json.size ?? 224, 'size');
  sameTile(json.crop_size ?? 224, tile, ofClass(json.crop_size));
  return new AnyresLayout(tile, resolutionsOf(json, NEXT, tile), undefined);
}

/** @param mean what is subtracted from each channel, of which the background of squares is made */
export function onevisionLayout(json: Fields, mean: readonly number[]): AnyresLayout {
  const tile = squareSide(json.size ?? 384, 'size');
  if (json.crop_size != null) sameTile(json.crop_size, tile);
  else if (flag(json, 'do_center_crop', false)) fail('do_center_crop is true, but crop_size is missing.');
  const background = mean.map((value) => Math.trunc(value * 255));
  return new AnyresLayout(tile, resolutionsOf(json, ONEVISION, tile), background);
}

/** Tiles of one size, of which another is then cut, would lose their margins. */
function sameTile(crop: unknown, tile: number, whose = ''): void {
  if (squareSide(crop, 'crop_size') !== tile)
    fail(`crop_size is ${show(crop)}${whose}, but size gives tiles of ${tile} pixels; they should be equal.`);
}

/** @param usual the class's, in place of those that are left out */
function resolutionsOf(json: Fields, usual: unknown, tile: number): Size[] {
  const name = 'image_grid_pinpoints';
  const pinpoints = json[name] ?? usual;
  if (!Array.isArray(pinpoints) || pinpoints.length === 0)
    fail(`${name} is ${show(pinpoints)}; expected a list of [height, width].`);
  return pinpoints.map((pair: unknown, i) => {
    if (!Array.isArray(pair) || pair.length !== 2)
      fail(`${name}[${i}] is ${show(pair)}; expected [height, width].`);
    const [height, width] = pair.map((side: unknown) => whole(side, `${name}[${i}]`)) as [number, number];
    // transformers cuts what is left over into smaller tiles, of which its model then finds too many.
    if (height % tile !== 0 || width % tile !== 0)
      fail(
        `${name}[${i}] is ${show(pair)}${ofClass(json[name])}; expected multiples of the tile's ${tile} pixels` +
          `${ofClass(json.size)}.`,
      );
    return { width, height };
  });
}

/** What to say of a setting that the file leaves out. */
function ofClass(setting: unknown): string {
  return setting == null ? " (left out: the class's own)" : '';
}
