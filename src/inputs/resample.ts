// Image resizing of 8-bit images exactly as Pillow (libImaging/Resample.c) and torchvision (ATen's UpSampleKernel, which
// follows Pillow) do it: separable convolution whose support grows with the reduction (antialiasing), weights in fixed
// point, one axis after the other with 8 bits in between.
import type { RgbImage } from './image.ts';

export type ResampleFilter = 'bilinear' | 'bicubic' | 'lanczos';

/**
 * Whose resizing is done, bit for bit: torchvision's (the usual one of transformers 5), Pillow's since 13, or Pillow's
 * before, with which older results were made.
 */
export type ImageBackend = 'torchvision' | 'pil' | 'pil-12';

export const IMAGE_BACKENDS: readonly ImageBackend[] = ['torchvision', 'pil', 'pil-12'];

/** Most fraction bits of the fixed-point weights: 8 bits go to the pixel, 2 to overshoot. */
const MOST_BITS = 32 - 8 - 2;

/** A filter is zero beyond `radius` source pixels from its centre. */
const FILTERS: Record<ResampleFilter, { radius: number; weight: (distance: number) => number }> = {
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { radius: 2, weight: bicubic },
  // Math.sin may differ from C's by one unit in the last place; the fixed point nearly always hides that.
  lanczos: { radius: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Keys' cubic convolution with a = −0.5, evaluated in Pillow's order. */
function bicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/**
 * Resizes to `width` × `height`, equal bit for bit to Pillow's `Image.resize((width, height), filter)` or torchvision's
 * `resize(image, [height, width], filter, antialias=True)` on the CPU.
 *
 * @returns the same object if the size already fits
 */
export function resize(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
  backend: ImageBackend = 'pil-12',
): RgbImage {
  if (image.width === width && image.height === height) return image;
  const across = ({ width: from, height: rows, data }: RgbImage): RgbImage => ({
    width,
    height: rows,
    data: resampleAxis(data, { outer: rows, from, to: width, inner: 3 }, filter, backend),
  });
  const down = ({ width: columns, height: from, data }: RgbImage): RgbImage => ({
    width: columns,
    height,
    data: resampleAxis(data, { outer: 1, from, to: height, inner: columns * 3 }, filter, backend),
  });
  // Pillow 13 takes first the axis that leaves the smaller picture between the passes, by a rule found by experiment.
  const vertical =
    backend === 'pil' && height < image.height && image.height - height > 2 * (image.width - width);
  return vertical ? across(down(image)) : down(across(image));
}

/** Resamples the middle axis: [outer, from, inner] → [outer, to, inner]. */
function resampleAxis(
  source: Uint8Array,
  { outer, from, to, inner }: { outer: number; from: number; to: number; inner: number },
  filter: ResampleFilter,
  backend: ImageBackend,
): Uint8Array {
  if (from === to) return source;
  const { taps, first, weights, bits } = fixedPointWeights(from, to, filter, backend);
  const result = new Uint8ClampedArray(outer * to * inner);
  for (let block = 0; block < outer; block++) {
    for (let target = 0; target < to; target++) {
      const start = (block * from + first[target]!) * inner;
      const end = (block * to + target) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << (bits - 1); // rounds to nearest
        for (let tap = 0, at = start + i; tap < taps; tap++, at += inner) {
          const weight = weights[target * taps + tap]!;
          if (weight !== 0) sum += source[at]! * weight;
        }
        result[end + i] = sum >> bits;
      }
    }
  }
  return new Uint8Array(result.buffer);
}

/**
 * Pillow's precompute_coeffs and normalize_coeffs_8bpc; ATen's `_compute_index_ranges_int16_weights`, which are the same
 * but for the number of fraction bits.
 *
 * @returns `first` [to]: first source pixel of each target; `weights` [to, taps], padded with zeros, with `bits` of fraction
 */
function fixedPointWeights(from: number, to: number, filter: ResampleFilter, backend: ImageBackend) {
  const { radius, weight } = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1); // reduction widens the filter
  const support = radius * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const exact = new Float64Array(to * taps);
  const inverse = 1 / stretch;
  let largest = 0;
  for (let target = 0; target < to; target++) {
    const centre = (target + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - begin;
    first[target] = begin;
    const row = exact.subarray(target * taps, target * taps + count);
    let total = 0;
    for (let tap = 0; tap < count; tap++) {
      row[tap] = weight((tap + begin - centre + 0.5) * inverse);
      total += row[tap]!;
    }
    for (let tap = 0; tap < count; tap++) {
      row[tap] = row[tap]! / total;
      largest = Math.max(largest, row[tap]!);
    }
  }
  const bits = backend === 'torchvision' ? bitsFor(largest) : MOST_BITS;
  const weights = Int32Array.from(exact, (value) =>
    Math.trunc(value * (1 << bits) + (value < 0 ? -0.5 : 0.5)),
  );
  return { taps, first, weights, bits };
}

/** Fraction bits with which the axis's largest weight still fits torchvision's 16 bits. */
function bitsFor(largest: number): number {
  let bits = 0;
  while (bits < MOST_BITS && Math.trunc(0.5 + largest * (1 << (bits + 1))) < 1 << 15) bits++;
  return bits;
}
