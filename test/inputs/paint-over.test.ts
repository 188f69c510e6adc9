// Boxes painted over in a picture's mean colour, counted by hand.
import { expect, test } from 'vitest';
import { paintOver } from '../../src/inputs/index.ts';

/** 3 × 2 pixels; the mean colour is (35, 45.5 → 46, 10). */
const picture = {
  width: 3,
  height: 2,
  data: Uint8Array.from([10, 3, 10, 20, 20, 10, 30, 50, 10, 40, 60, 10, 50, 70, 10, 60, 70, 10]),
};
const MEAN = [35, 46, 10];

test('pixels inside are the mean, all others and the picture itself stay', () => {
  const painted = paintOver(picture, [[1, 0, 2, 5]]);
  expect([painted.width, painted.height]).toEqual([3, 2]);
  const expected = Array.from(picture.data);
  expected.splice(3, 3, ...MEAN);
  expected.splice(12, 3, ...MEAN);
  expect(Array.from(painted.data)).toEqual(expected);
  expect(picture.data[3]).toBe(20);
});

test('what lies outside the picture is left out; a box without pixels changes nothing', () => {
  expect(Array.from(paintOver(picture, [[-5, -5, 1, 1]]).data).slice(0, 3)).toEqual(MEAN);
  expect(
    paintOver(picture, [
      [2, 1, 2, 2],
      [7, 7, 9, 9],
    ]).data,
  ).toEqual(picture.data);
});
