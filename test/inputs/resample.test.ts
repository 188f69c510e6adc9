import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  IMAGE_BACKENDS,
  type ImageBackend,
  type ResampleFilter,
  type RgbImage,
  resize,
} from '../../src/inputs/index.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { firstDifference, fixturePath, readGolden, readJsonFile, sha256 } from './support.ts';

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
const backend = fc.constantFrom(...IMAGE_BACKENDS);

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

  it("equals torchvision, Pillow 13 and Pillow's passes before it on a picture", async () => {
    const picture = await readImage(fixturePath('image-resize/picture.png'));
    const golden = await readGolden('image-resize/expected.safetensors');
    const backends: Record<string, ImageBackend> = {
      torchvision: 'torchvision',
      pillow13: 'pil',
      pillow_horizontal_first: 'pil-12',
    };
    const seen = new Set<string>();
    for (const [name, { data }] of golden) {
      const [filter, size = '', made = ''] = name.split('/');
      const [width, height] = size.split('x').map(Number) as [number, number];
      const resized = resize(
        picture,
        width,
        height,
        filter as ResampleFilter,
        backends[made] as ImageBackend,
      );
      expect(firstDifference(resized.data, data as Uint8Array), name).toBeUndefined();
      seen.add(made);
    }
    expect([...seen].sort()).toEqual(Object.keys(backends).sort());
    expect(golden.size).toBeGreaterThanOrEqual(42);
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
        backend,
        (w, h, toW, toH, level, by, whose) => {
          const data = new Uint8Array(w * h * 3).fill(level);
          const result = resize({ width: w, height: h, data }, toW, toH, by, whose);
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
