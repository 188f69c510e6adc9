import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ResampleFilter, type RgbImage, resize } from '../../src/inputs/index.ts';
import { fixturePath, readJsonFile, sha256 } from './support.ts';

interface Resized {
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
  readonly filter: ResampleFilter;
  readonly seed: number;
  readonly sha256: string;
}

const { resized } = readJsonFile<{ resized: readonly Resized[] }>(fixturePath('pillow/expected.json'));

const side = fc.integer({ min: 1, max: 40 });
const filter = fc.constantFrom<ResampleFilter>('bilinear', 'bicubic', 'lanczos');

/** As make.py beside the fixture makes it. */
function noise([width, height]: readonly [number, number], seed: number): RgbImage {
  const data = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => Number((BigInt(i) * 2654435761n + BigInt(seed) * 40503n * 65536n) >> 24n) & 0xff,
  );
  return { width, height, data };
}

describe('resize', () => {
  it('equals Pillow on noise, enlarged and reduced, for each filter', () => {
    for (const { from, to, filter, seed, sha256: expected } of resized) {
      const { data } = resize(noise(from, seed), ...to, filter);
      expect(sha256(data), `${filter} ${from} → ${to}`).toBe(expected);
    }
    expect(resized.length).toBe(60);
  });

  it('keeps a constant picture constant', () => {
    fc.assert(
      fc.property(
        side,
        side,
        side,
        side,
        fc.integer({ min: 0, max: 255 }),
        filter,
        (w, h, toW, toH, level, by) => {
          const data = new Uint8Array(w * h * 3).fill(level);
          const result = resize({ width: w, height: h, data }, toW, toH, by);
          expect(result.data.length).toBe(toW * toH * 3);
          expect(result.data.every((value) => value === level)).toBe(true);
        },
      ),
    );
  });

  it('changes nothing where the size is the same, along each axis', () => {
    fc.assert(
      fc.property(side, side, filter, (w, h, by) => {
        const image = noise([w, h], w * h);
        expect(resize(image, w, h, by)).toBe(image);
        // A picture of equal rows stays one of equal rows, each as the single row alone becomes.
        const row = noise([w, 1], h);
        const rows = {
          width: w,
          height: h,
          data: new Uint8Array(w * h * 3).map((_, i) => row.data[i % (w * 3)]!),
        };
        const single = resize(row, 17, 1, by).data;
        expect(resize(rows, 17, h, by).data.every((value, i) => value === single[i % 51])).toBe(true);
      }),
    );
  });

  it('treats rows and columns alike', () => {
    const transpose = ({ width, height, data }: RgbImage): RgbImage => ({
      width: height,
      height: width,
      data: data.map((_, i) => {
        const pixel = Math.floor(i / 3);
        return data[((pixel % height) * width + Math.floor(pixel / height)) * 3 + (i % 3)]!;
      }),
    });
    fc.assert(
      fc.property(side, side, side, filter, (w, h, to, by) => {
        const image = noise([w, h], to);
        const across = resize(image, to, h, by);
        expect([...transpose(resize(transpose(image), h, to, by)).data]).toEqual([...across.data]);
      }),
    );
  });
});
