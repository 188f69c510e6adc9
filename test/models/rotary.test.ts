import { describe, expect, test } from 'vitest';
import { coordinatesOf, gridPlace } from '../../src/models/tower/index.ts';
import { type Rotary, turnsOf } from '../../src/models/tower/rotary.ts';

describe('position ids with coordinates', () => {
  test('text has its number in every coordinate', () => {
    expect(coordinatesOf(0)).toEqual([0, 0, 0]);
    expect(coordinatesOf(262_143)).toEqual([262_143, 262_143, 262_143]);
  });

  test.each([
    [0, 0, 0],
    [5, 0, 7],
    [300_000, 16_383, 16_383],
    [2 ** 24 - 1, 16_383, 0],
  ])('a cell of an image that begins at %d: row %d, column %d', (time, row, column) => {
    const place = gridPlace(time, row, column);
    expect(Number.isSafeInteger(place)).toBe(true);
    expect(coordinatesOf(place)).toEqual([time, time + row, time + column]);
  });

  test.each([
    [2 ** 24, 0, 0],
    [0, 2 ** 14, 0],
    [0, 0, 2 ** 14],
  ])('%d, %d, %d is refused', (time, row, column) => {
    expect(() => gridPlace(time, row, column)).toThrow(/more than can be told apart/);
  });
});

describe('which coordinate turns a pair of features', () => {
  const axes = (headSize: number, by: Rotary['by']) =>
    turnsOf(headSize, { theta: 10_000, ...(by && { by }) })
      .map(({ axis }) => 'trc'[axis])
      .join('');

  test('one number: the same for all', () => {
    expect(axes(16, undefined)).toBe('tttttttt');
  });

  test('a grid: rows, then columns', () => {
    expect(axes(16, 'grid')).toBe('rrrrcccc');
  });

  test('sections one behind the other, of Qwen2.5-VL', () => {
    const expected = 't'.repeat(16) + 'r'.repeat(24) + 'c'.repeat(24);
    expect(axes(128, { sections: [16, 24, 24], interleaved: false })).toBe(expected);
  });

  test('sections in turn, of Qwen3-VL', () => {
    const expected = `${'trc'.repeat(20)}tttt`;
    expect(axes(128, { sections: [24, 20, 20], interleaved: true })).toBe(expected);
  });

  test('sections in turn, of which one is shorter', () => {
    expect(axes(20, { sections: [6, 3, 1], interleaved: true })).toBe('trctrttrtt');
  });
});

describe('frequencies', () => {
  const frequencies = (headSize: number, by: Rotary['by']) =>
    turnsOf(headSize, { theta: 10_000, ...(by && { by }) }).map(({ frequency }) => frequency);

  test('fall from 1 by the pair, whatever turns it', () => {
    const expected = [1, 0.1, 0.01, 0.001].map(Math.fround);
    expect(frequencies(8, undefined)).toEqual(expected);
    expect(frequencies(8, { sections: [1, 1, 2], interleaved: false })).toEqual(expected);
  });

  test('of a grid: rows and columns have the same', () => {
    expect(frequencies(8, 'grid')).toEqual([1, 0.01, 1, 0.01].map(Math.fround));
  });
});
