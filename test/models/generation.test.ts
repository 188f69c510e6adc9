import { expect, test } from 'vitest';
import { argmax } from '../../src/models/generation.ts';

test.each([
  ['the largest', [-3, 5, 2], 1],
  ['the first of equals', [1, 7, 2, 7, 7], 1],
  ['the first of all, where all are equal', [4, 4, 4], 0],
  ['the last one', [-4, -3, -2], 2],
  ['zeros of both signs are equal', [-0, 0], 0],
])('greedy decoding takes %s', (_, logits, expected) => {
  expect(argmax(Float32Array.from(logits))).toBe(expected);
});
