// Qwen2VLImageProcessor, of Qwen2-VL to Qwen3-VL: the picture at a size of its own, packed into patches.

import { NoticeError } from '../../errors.ts';
import { roundHalfEven } from '../../round.ts';
import type { RgbImage } from '../image.ts';
import { type Fields, fail, isObject, mustBeOn, type Size, show, whole } from './fields.ts';
import { type CutPicture, type PatchPacking, type PictureLayout, type Resize, uncut } from './layout.ts';

export class DynamicLayout implements PictureLayout {
  readonly packing: PatchPacking;
  /** Least and largest area, in pixels. */
  readonly area: { readonly least: number; readonly largest: number };

  constructor(packing: PatchPacking, area: DynamicLayout['area']) {
    this.packing = packing;
    this.area = area;
  }

  cut(image: RgbImage, resize: Resize): CutPicture {
    const { width, height } = smartSize(image, this.packing.patch * this.packing.merge, this.area);
    const shown = resize(image, width, height);
    return uncut(image, [shown], shown);
  }
}

/** `smart_resize`: sides that are multiples of `factor`, an area within bounds, the aspect nearly kept. */
function smartSize({ width, height }: Size, factor: number, { least, largest }: DynamicLayout['area']): Size {
  const aspect = Math.max(width, height) / Math.min(width, height);
  if (aspect > 200)
    throw new NoticeError(
      'image',
      `${width}×${height} pixels: one side is ${Math.round(aspect)} times the other, this model reads at most 200 times.`,
    );
  const nearest = (side: number) => roundHalfEven(side / factor) * factor;
  const size = { width: nearest(width), height: nearest(height) };
  if (size.width * size.height > largest) {
    const shrink = Math.sqrt((height * width) / largest);
    const down = (side: number) => Math.max(factor, Math.floor(side / shrink / factor) * factor);
    return { width: down(width), height: down(height) };
  }
  if (size.width * size.height < least) {
    const grow = Math.sqrt(least / (height * width));
    const up = (side: number) => Math.ceil((side * grow) / factor) * factor;
    return { width: up(width), height: up(height) };
  }
  return size;
}

export function dynamicLayout(json: Fields): DynamicLayout {
  mustBeOn(json, 'do_resize');
  const size = json.size ?? {};
  if (!isObject(size)) fail(`size is ${show(size)}; expected shortest_edge and longest_edge.`);
  // Names of transformers 4, then of 5: areas both.
  const area = (old: 'min_pixels' | 'max_pixels', name: 'shortest_edge' | 'longest_edge', usual: number) =>
    json[old] != null ? whole(json[old], old) : json.size == null ? usual : whole(size[name], `size.${name}`);
  const least = area('min_pixels', 'shortest_edge', 56 * 56);
  const largest = area('max_pixels', 'longest_edge', 28 * 28 * 1280);
  if (least > largest) fail(`the least area, ${least} pixels, is more than the largest, ${largest}.`);
  return new DynamicLayout(
    {
      patch: whole(json.patch_size ?? 14, 'patch_size'),
      merge: whole(json.merge_size ?? 2, 'merge_size', 'patches'),
      frames: whole(json.temporal_patch_size ?? 2, 'temporal_patch_size', 'frames'),
    },
    { least, largest },
  );
}

/** [3, height, width] → [patch, 3 · frames · side · side], blocks of merge × merge patches row by row. */
export function packPatches(
  pixels: Float32Array,
  { width, height }: Size,
  { patch, merge, frames }: PatchPacking,
): Float32Array {
  const packed = new Float32Array(pixels.length * frames);
  const block = patch * merge;
  let at = 0;
  for (let top = 0; top < height; top += block)
    for (let left = 0; left < width; left += block)
      for (let p = 0; p < merge * merge; p++) {
        const y = top + Math.floor(p / merge) * patch;
        const x = left + (p % merge) * patch;
        for (let channel = 0; channel < 3; channel++)
          for (let frame = 0; frame < frames; frame++)
            for (let row = y; row < y + patch; row++, at += patch) {
              const start = (channel * height + row) * width + x;
              packed.set(pixels.subarray(start, start + patch), at);
            }
      }
  return packed;
}
