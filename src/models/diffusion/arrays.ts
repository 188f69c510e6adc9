// Pictures, masks and latents on the host: what goes into the models and what comes out, in the order in which each is read.

import type { RgbImage } from '../../inputs/index.ts';
import { roundHalfEven } from '../../round.ts';

/** Pixel values 2 · (v / 255) − 1, 0 where the picture is painted over; row by row, channels last. */
export function maskedPixels({ data }: RgbImage, mask: Uint8Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(data, (value, i) =>
    mask[Math.floor(i / 3)] === 1 ? 0 : Math.fround(2 * Math.fround(value / 255)) - 1,
  );
}

/** Of every cell of latents the pixel at its top left. */
export function latentMask(mask: Uint8Array, width: number, factor: number): Uint8Array {
  const across = width / factor;
  const count = mask.length / factor ** 2;
  return Uint8Array.from({ length: count }, (_, i) => {
    const [y, x] = [Math.floor(i / across), i % across];
    return mask[(y * width + x) * factor] as number;
  });
}

/** Of the latents of a picture, channels first. */
export interface Posterior {
  readonly mean: Float32Array;
  readonly logVariance: Float32Array;
}

/** Mean and logarithm of the variance, clamped as diffusers' DiagonalGaussianDistribution does. */
export function posteriorOf(moments: Float32Array, channels: number): Posterior {
  const planes = toPlanes(moments, 2 * channels);
  const half = planes.length / 2;
  return {
    mean: planes.slice(0, half),
    logVariance: planes.slice(half).map((value) => Math.min(20, Math.max(-30, value))),
  };
}

export function posteriorSample(
  { mean, logVariance }: Posterior,
  noise: Float32Array,
  scaling: number,
): Float32Array {
  return mean.map(
    (value, i) => scaling * (value + Math.exp(0.5 * (logVariance[i] as number)) * (noise[i] as number)),
  );
}

/** [channels, pixels] to [pixels, channels]. */
export function toRows(planes: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const pixels = planes.length / channels;
  const rows = new Float32Array(planes.length);
  planes.forEach((value, i) => {
    rows[(i % pixels) * channels + Math.floor(i / pixels)] = value;
  });
  return rows;
}

/** [pixels, channels] to [channels, pixels]. */
export function toPlanes(rows: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  return toRows(rows, rows.length / channels);
}

/** Rows of the mask and the masked picture's latents. */
export function stillChannels(
  mask: Uint8Array,
  masked: Float32Array,
  channels: number,
): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(mask.length * (channels + 1));
  mask.forEach((value, pixel) => {
    rows[pixel * (channels + 1)] = value;
    rows.set(masked.subarray(pixel * channels, (pixel + 1) * channels), pixel * (channels + 1) + 1);
  });
  return rows;
}

/** round(clamp(x / 2 + ½) · 255), half to even, as diffusers' VaeImageProcessor and numpy. */
export function toBytes(decoded: Float32Array): Uint8Array {
  return Uint8Array.from(decoded, (value) =>
    roundHalfEven(Math.fround(255 * Math.min(1, Math.max(0, Math.fround(Math.fround(value / 2) + 0.5))))),
  );
}
