import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { averageHead, headPatches, imageAttention } from '../../src/analysis/image-attention.ts';
import { attentionOverlay, upsample } from '../../src/analysis/overlay.ts';
import { boxCoverage } from '../../src/analysis/patch-grid.ts';
import { type ImageMetadata, imageBoxes } from '../../src/notice/datasets/pair.ts';

describe('imageAttention', () => {
  // 2 layers × 2 heads × 3 queries × 5 keys; every value says where it comes from.
  const pattern = {
    layers: [0, 1].map((l) =>
      Float32Array.from(
        { length: 30 },
        (_, i) => 1000 * l + 100 * Math.floor(i / 15) + 10 * (Math.floor(i / 5) % 3) + (i % 5),
      ),
    ),
    heads: 2,
    queries: 3,
    keys: 5,
  };

  it('drops the class token and averages over the sub-tokens of a word', () => {
    const attention = imageAttention(pattern, [1, 2], [1, 2, 3, 4]);
    expect(attention).toMatchObject({ layers: 2, heads: 2, patches: 4 });
    expect([...headPatches(attention, 1, 0)]).toEqual([1016, 1017, 1018, 1019]);
    expect([...headPatches(attention, 0, 1)]).toEqual([116, 117, 118, 119]);
    expect([...averageHead(attention)]).toEqual([566, 567, 568, 569]);
  });

  it('refuses positions that are not there', () => {
    expect(() => imageAttention(pattern, [3], [1, 2, 3, 4])).toThrow(/query positions \[3\]/);
    expect(() => imageAttention(pattern, [], [1, 2, 3, 4])).toThrow(/query positions \[\]/);
    expect(() => imageAttention(pattern, [0], [2, 5])).toThrow(/patches \[2,5\] .* 5 keys/);
    expect(() => imageAttention({ ...pattern, keys: 6 }, [0], [1, 2, 3, 4])).toThrow(
      /layer 0 has 30 values, expected 2 × 3 × 6/,
    );
  });
});

describe('attentionOverlay', () => {
  const attention = {
    layers: 2,
    heads: 1,
    patches: 4,
    data: Float32Array.of(0.5, 0.25, 0, 0.25, 0, 0.25, 0.25, 0.25),
  };

  it('is the head minus the mean over all heads of all layers', () => {
    const overlay = attentionOverlay(attention, { layer: 0, head: 0 }, { rows: 2, columns: 2 });
    expect([...overlay.data]).toEqual([0.25, 0, -0.125, 0]);
  });

  it('sums to zero over heads', () => {
    const both = [0, 1].map((layer) =>
      attentionOverlay(attention, { layer, head: 0 }, { rows: 1, columns: 4 }),
    );
    both[0]!.data.forEach((value, p) => {
      expect(value + both[1]!.data[p]!).toBeCloseTo(0, 6);
    });
  });

  it('refuses a wrong grid and a head that is not there', () => {
    expect(() => attentionOverlay(attention, { layer: 0, head: 0 }, { rows: 2, columns: 3 })).toThrow(
      /grid of 2 × 3 does not hold 4 patches/,
    );
    expect(() => attentionOverlay(attention, { layer: 0, head: 1 }, { rows: 2, columns: 2 })).toThrow(
      /no L0\.H1 among 2 layers of 1 heads/,
    );
  });
});

describe('upsample', () => {
  it('keeps patch centres, and interpolates between them', () => {
    const grid = { rows: 1, columns: 2, data: Float32Array.of(0, 8) };
    // Columns 0 … 7 are centred at −0.375, −0.125, 0.125 … 1.375 of the two patches.
    expect([...upsample(grid, 1, 8).data]).toEqual([0, 0, 1, 3, 5, 7, 8, 8]);
    const odd = upsample({ rows: 2, columns: 2, data: Float32Array.of(1, 2, 3, 5) }, 6, 6);
    expect([1 * 6 + 1, 1 * 6 + 4, 4 * 6 + 1, 4 * 6 + 4].map((i) => odd.data[i])).toEqual([1, 2, 3, 5]);
  });

  it('never leaves the range of the data, and is the identity at the same size', () => {
    const value = fc.float({ noNaN: true, min: -1, max: 1 });
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 6, maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        (values, size) => {
          const grid = { rows: 2, columns: 3, data: Float32Array.from(values) };
          const same = upsample(grid, 2, 3).data;
          expect(same.every((x, i) => x === values[i])).toBe(true);
          const { data } = upsample(grid, size, size + 2);
          // Interpolation in float32 may round up by one unit in the last place.
          expect(Math.max(...data)).toBeLessThanOrEqual(Math.max(...values) + 1e-6);
          expect(Math.min(...data)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-6);
        },
      ),
    );
  });
});

describe('boxCoverage', () => {
  const image = { width: 64, height: 64 };
  const grid = { rows: 8, columns: 8 };

  it('equals counting quarter pixels, for every box of the shapes data', () => {
    const lines = readFileSync('data/scenes.jsonl', 'utf8').trimEnd().split('\n');
    let boxes = 0;
    for (const line of lines) {
      const { clean, corrupt } = JSON.parse(line) as Record<'clean' | 'corrupt', ImageMetadata>;
      for (const { box } of [...imageBoxes(clean), ...imageBoxes(corrupt)]) {
        if (!box.every((edge) => Number.isInteger(4 * edge))) continue; // the faces' boxes are finer
        boxes++;
        const counted = new Float32Array(64);
        for (let y = 4 * box[1]; y < 4 * box[3]; y++) {
          for (let x = 4 * box[0]; x < 4 * box[2]; x++)
            counted[Math.floor(y / 32) * 8 + Math.floor(x / 32)]! += 1 / 1024;
        }
        const coverage = boxCoverage(box, image, grid);
        counted.forEach((share, p) => {
          expect(coverage[p]).toBeCloseTo(share, 6);
        });
      }
    }
    expect(boxes).toBeGreaterThan(1000);
  });

  it('follows what the model sees of the image', () => {
    // A centre crop of a 128 × 64 image loses 32 columns on each side; x = 48 is then a quarter of the visible width.
    const wide = { width: 128, height: 64 };
    const grid = { rows: 1, columns: 4 };
    expect([...boxCoverage([48, 0, 64, 64], wide, grid, [32, 0, 96, 64])]).toEqual([0, 1, 0, 0]);
    expect([...boxCoverage([48, 0, 64, 64], wide, grid)]).toEqual([0, 0.5, 0, 0]);
    expect([...boxCoverage([0, 0, 32, 64], wide, grid, [32, 0, 96, 64])]).toEqual([0, 0, 0, 0]);
    // Padded above and below.
    expect([...boxCoverage([0, 0, 128, 64], wide, { rows: 4, columns: 1 }, [0, -32, 128, 96])]).toEqual([
      0, 1, 1, 0,
    ]);
  });

  it('refuses boxes that are empty or not inside the image', () => {
    for (const box of [
      [5, 5, 5, 9],
      [0, 0, 65, 9],
      [-1, 0, 4, 4],
      [0, 0, Number.NaN, 4],
    ] as const) {
      expect(() => boxCoverage(box, image, grid)).toThrow(/is empty or not inside the 64 × 64 image/);
    }
  });
});
