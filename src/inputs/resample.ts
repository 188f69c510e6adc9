// Image resizing exactly as Pillow does it for 8-bit images (libImaging/Resample.c): separable convolution whose
// support grows with the reduction (antialiasing), weights in fixed point, horizontal pass first, 8-bit in between.
import type { RgbImage } from './image.ts';

export type ResampleFilter = 'bilinear' | 'bicubic' | 'lanczos';

/** Fraction bits of the fixed-point weights: 8 bits go to the pixel, 2 to overshoot. */
const PRECISION_BITS = 32 - 8 - 2;

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
 * Resizes to `width` × `height`, equal to Pillow's `Image.resize((width, height), filter)` bit for bit.
 *
 * @returns the same object if the size already fits
 */
export function resize(image: RgbImage, width: number, height: number, filter: ResampleFilter): RgbImage {
  if (image.width === width && image.height === height) return image;
  const rows = resampleAxis(
    image.data,
    { outer: image.height, from: image.width, to: width, inner: 3 },
    filter,
  );
  const data = resampleAxis(rows, { outer: 1, from: image.height, to: height, inner: width * 3 }, filter);
  return { width, height, data };
}

/** Resamples the middle axis: [outer, from, inner] → [outer, to, inner]. */
function resampleAxis(
  source: Uint8Array,
  { outer, from, to, inner }: { outer: number; from: number; to: number; inner: number },
  filter: ResampleFilter,
): Uint8Array {
  if (from === to) return source;
  const { taps, first, weights } = fixedPointWeights(from, to, filter);
  const result = new Uint8ClampedArray(outer * to * inner);
  for (let block = 0; block < outer; block++) {
    for (let target = 0; target < to; target++) {
      const start = (block * from + first[target]!) * inner;
      const end = (block * to + target) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << (PRECISION_BITS - 1); // rounds to nearest
        for (let tap = 0, at = start + i; tap < taps; tap++, at += inner) {
          const weight = weights[target * taps + tap]!;
          if (weight !== 0) sum += source[at]! * weight;
        }
        result[end + i] = sum >> PRECISION_BITS;
      }
    }
  }
  return new Uint8Array(result.buffer);
}

/**
 * Pillow's precompute_coeffs and normalize_coeffs_8bpc.
 *
 * @returns `first` [to]: first source pixel of each target; `weights` [to, taps], padded with zeros
 */
function fixedPointWeights(from: number, to: number, filter: ResampleFilter) {
  const { radius, weight } = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1); // reduction widens the filter
  const support = radius * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  const row = new Float64Array(taps);
  const inverse = 1 / stretch;
  for (let target = 0; target < to; target++) {
    const centre = (target + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - begin;
    let total = 0;
    for (let tap = 0; tap < count; tap++) {
      row[tap] = weight((tap + begin - centre + 0.5) * inverse);
      total += row[tap]!;
    }
    first[target] = begin;
    for (let tap = 0; tap < count; tap++) {
      const exact = (row[tap]! / total) * (1 << PRECISION_BITS);
      weights[target * taps + tap] = Math.trunc(exact + (exact < 0 ? -0.5 : 0.5));
    }
  }
  return { taps, first, weights };
}
