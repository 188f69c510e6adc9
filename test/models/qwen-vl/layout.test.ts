import { describe, expect, test } from 'vitest';
import type { ImageInput } from '../../../src/models/index.ts';
import { layoutOf } from '../../../src/models/qwen-vl/layout.ts';

const image = (rows: number, columns: number): ImageInput => ({
  data: new Float32Array(rows * columns),
  ...{ height: 4 * rows, width: 4 * columns, patches: { rows, columns } },
});

describe('patches', () => {
  test('come in blocks of two by two, row by row', () => {
    const { cells } = layoutOf([image(4, 6)], { merge: 2, window: undefined, patchValues: 1 });
    const at = cells.map(({ row, column }) => [row, column]);
    expect(at.slice(0, 8)).toEqual([
      ...[
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ],
      ...[
        [0, 2],
        [0, 3],
        [1, 2],
        [1, 3],
      ],
    ]);
    expect(at[12]).toEqual([2, 0]);
    expect(new Set(at.map(String)).size).toBe(24);
  });

  test('of several images lie one behind the other', () => {
    const { cells, whole } = layoutOf([image(2, 2), image(4, 2)], {
      merge: 2,
      window: undefined,
      patchValues: 1,
    });
    expect(whole).toEqual([
      { first: 0, end: 4 },
      { first: 4, end: 12 },
    ]);
    expect(cells[4]).toEqual({ row: 0, column: 0, grid: { rows: 4, columns: 2 } });
  });
});

describe('windows', () => {
  const windowsOf = (...images: ImageInput[]) =>
    layoutOf(images, { merge: 2, window: 2, patchValues: 1 }).windows;

  test('are smaller at the right and bottom edge', () => {
    // 3 × 3 features in windows of 2 × 2.
    expect(windowsOf(image(6, 6))).toEqual({
      features: [0, 1, 3, 4, 2, 5, 6, 7, 8],
      ranges: [
        { first: 0, end: 16 },
        { first: 16, end: 24 },
        { first: 24, end: 32 },
        { first: 32, end: 36 },
      ],
    });
  });

  test('that fit leave none over', () => {
    expect(windowsOf(image(4, 8))).toEqual({
      features: [0, 1, 4, 5, 2, 3, 6, 7],
      ranges: [
        { first: 0, end: 16 },
        { first: 16, end: 32 },
      ],
    });
  });

  test('of a second image follow those of the first', () => {
    expect(windowsOf(image(4, 4), image(2, 6))).toEqual({
      features: [0, 1, 2, 3, 4, 5, 6],
      ranges: [
        { first: 0, end: 16 },
        { first: 16, end: 24 },
        { first: 24, end: 28 },
      ],
    });
  });
});
