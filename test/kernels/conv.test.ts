// Convolutions, group norms and sampler steps against f64, and against themselves in other bands.

import { describe, expect, it } from 'vitest';
import type { Work } from '../../src/gpu/index.ts';
import {
  type ConvOptions,
  convolve,
  type FeatureMaps,
  guide,
  mix,
  normalizeGroups,
} from '../../src/kernels/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { DEVICES, EPSILON, read, uploadVector, uploadWeight } from './support.ts';

interface Size {
  readonly images: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

function mapsOf(
  w: Work,
  values: Float32Array<ArrayBuffer>,
  { images, height, width, channels }: Size,
): FeatureMaps {
  return { images, height, width, x: w.upload(values, images * height * width, channels, 'maps') };
}

/** torch.nn.functional.conv2d on channels-last maps, in f64. @param kernel [out, 9 · channels] by tap, then channel */
function reference(
  x: Float32Array,
  { images, height, width, channels }: Size,
  kernel: readonly Float32Array[],
  bias: Float32Array,
  { stride = 1, padding = 1, enlarged = [height, width], size }: ConvOptions,
): { values: number[]; magnitude: number[] } {
  const [tall, wide] = enlarged;
  const [outHeight, outWidth] = size ?? [Math.ceil(tall / stride), Math.ceil(wide / stride)];
  const values: number[] = [];
  const magnitude: number[] = [];
  for (let image = 0; image < images; image++)
    for (let oy = 0; oy < outHeight; oy++)
      for (let ox = 0; ox < outWidth; ox++)
        kernel.forEach((weights, o) => {
          let sum = bias[o] as number;
          let size = Math.abs(sum);
          for (let tap = 0; tap < 9; tap++) {
            const y = oy * stride + Math.floor(tap / 3) - padding;
            const at = ox * stride + (tap % 3) - padding;
            if (y < 0 || y >= tall || at < 0 || at >= wide) continue;
            const row =
              (image * height + Math.floor((y * height) / tall)) * width + Math.floor((at * width) / wide);
            for (let c = 0; c < channels; c++) {
              const product = (x[row * channels + c] as number) * (weights[tap * channels + c] as number);
              sum += product;
              size += Math.abs(product);
            }
          }
          values.push(sum);
          magnitude.push(size);
        });
  return { values, magnitude };
}

const CASES: readonly (readonly [string, Size, number, ConvOptions])[] = [
  ['3 channels', { images: 2, height: 5, width: 7, channels: 3 }, 8, {}],
  ['channels in fours', { images: 1, height: 6, width: 4, channels: 8 }, 5, {}],
  ['stride 2, padding 1', { images: 2, height: 9, width: 11, channels: 4 }, 6, { stride: 2 }],
  [
    'stride 2, zeros right and below',
    { images: 1, height: 8, width: 6, channels: 4 },
    6,
    { stride: 2, padding: 0, size: [4, 3] },
  ],
  ['enlarged twice', { images: 2, height: 3, width: 4, channels: 4 }, 4, { enlarged: [6, 8] }],
  ['enlarged to an odd size', { images: 1, height: 5, width: 6, channels: 4 }, 4, { enlarged: [9, 11] }],
  ['one pixel', { images: 1, height: 1, width: 1, channels: 9 }, 4, {}],
];

describe.each(DEVICES)('on %s', (_, options) => {
  it.each(CASES)('convolve: %s', async (_, size, out, settings) => {
    const w = await testWork(options);
    const random = new Random(7);
    const { images, height, width, channels } = size;
    const x = random.vector(images * height * width * channels);
    const kernel = random.matrix(out, 9 * channels);
    const bias = random.vector(out);
    const weight = uploadWeight(w, kernel, 'f32');
    const run = (bandBytes?: number) =>
      convolve(w, mapsOf(w, x, size), weight, {
        bias: uploadVector(w, bias),
        ...settings,
        ...(bandBytes && { bandBytes }),
      });
    const whole = run();
    const { values, magnitude } = reference(x, size, kernel, bias, settings);
    expect(whole.images * whole.height * whole.width * out).toBe(values.length);
    const result = await read(w, whole.x);
    // A chain of at most 82 roundings, each of half a unit of a partial sum.
    expectClose(result, values, { atol: magnitude.map((sum) => 82 * EPSILON * sum) });
    expectSameBits(await read(w, run(4 * 9 * channels).x), result, { name: 'pixel by pixel' });
    expectSameBits(await read(w, run(4 * 9 * channels * 7).x), result, { name: 'seven pixels at a time' });
  });

  it.each([
    ['more than a tile', { images: 2, height: 19, width: 17, channels: 12 }, 4],
    ['a group of one channel', { images: 1, height: 3, width: 5, channels: 6 }, 6],
    ['one pixel', { images: 3, height: 1, width: 1, channels: 8 }, 2],
  ] as const)('normalizeGroups: %s', async (_, size, groups) => {
    const w = await testWork(options);
    const random = new Random(11);
    const { images, height, width, channels } = size;
    const pixels = height * width;
    const x = random.vector(images * pixels * channels, { centre: 20 }); // a mean twenty times the spread
    const [scale, shift] = [random.vector(channels), random.vector(channels)];
    const weights = { groups, eps: 1e-5, scale: uploadVector(w, scale), shift: uploadVector(w, shift) };
    const expected = new Array<number>(x.length);
    const per = channels / groups;
    for (let image = 0; image < images; image++)
      for (let group = 0; group < groups; group++) {
        const places = Array.from(
          { length: pixels * per },
          (_, i) => (image * pixels + Math.floor(i / per)) * channels + group * per + (i % per),
        );
        const mean = places.reduce((sum, i) => sum + (x[i] as number), 0) / places.length;
        const variance = places.reduce((sum, i) => sum + ((x[i] as number) - mean) ** 2, 0) / places.length;
        for (const i of places) {
          const c = i % channels;
          expected[i] =
            (((x[i] as number) - mean) / Math.sqrt(variance + 1e-5)) * (scale[c] as number) +
            (shift[c] as number);
        }
      }
    const plain = await read(w, normalizeGroups(w, mapsOf(w, x, size), weights));
    // The mean of n values of size 20 is off by a few units of 20, which the deviation (0.6) divides; a single value a group
    // deviates by nothing, and eps alone divides what rounding leaves.
    const error = (32 * 20 * EPSILON) / (pixels * per === 1 ? Math.sqrt(1e-5) : 0.5);
    expectClose(plain, expected, { atol: error });
    const active = await read(w, normalizeGroups(w, mapsOf(w, x, size), weights, 'silu'));
    expectClose(
      active,
      expected.map((value) => value / (1 + Math.exp(-value))),
      { atol: 1.2 * error },
    );
  });

  it('guide and mix', async () => {
    const w = await testWork(options);
    const random = new Random(13);
    const [free, led, latents] = [random.vector(12), random.vector(12), random.vector(12)];
    const predictions = w.upload(Float32Array.from([...free, ...led]), 6, 4, 'predictions');
    const x = w.upload(latents.slice(), 3, 4, 'latents');
    const guided = guide(w, predictions, 8);
    const expected = free.map((value, i) => value + 8 * ((led[i] as number) - value));
    expectClose(await read(w, guided), expected, { atol: 32 * EPSILON });
    mix(w, x, 1.25, guided, -0.5);
    expectClose(
      await read(w, x),
      latents.map((value, i) => 1.25 * value - 0.5 * (expected[i] as number)),
      { atol: 64 * EPSILON },
    );
  });
});
