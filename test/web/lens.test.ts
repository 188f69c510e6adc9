import { expect, test } from 'vitest';
import type { LensReading } from '../../src/web/protocol/reading.ts';
import { lensTable, outlyingNorms, rankShade } from '../../src/web/state/lens.ts';

/** Two layers, five positions, the two likeliest of three tokens. */
const reading: LensReading = {
  lens: {
    hook: 'language.blocks.*.hook_resid_post',
    layers: [0, 1],
    positions: [0, 1, 2, 3, 4],
    topK: 2,
    tokens: [7],
    ids: Uint32Array.from({ length: 20 }, (_, i) => 7 + (i % 2)),
    logits: new Float32Array(20),
    probabilities: Float32Array.from({ length: 20 }, (_, i) => (i % 2 ? 0.25 : 0.75)),
    ranks: new Uint32Array(10),
    tokenProbabilities: new Float32Array(10).fill(0.75),
    norms: Float32Array.of(90, 10, 11, 9, 10, 10, 11, 10, 9, 10),
  },
  token: 7,
  texts: new Map([
    [7, 'heart'],
    [8, 'ring'],
  ]),
  tokens: [{ position: 0, text: '<s>' }],
  grids: [],
};

test('a norm that stands out in its layer is marked, others are not', () => {
  expect(outlyingNorms(reading, 0)).toEqual([true, false, false, false, false]);
  expect(outlyingNorms(reading, 1)).toEqual([false, false, false, false, false]);
});

test('shades of ranks go from the most probable to the last', () => {
  expect(rankShade(0, 1000)).toBe(1);
  expect(rankShade(1000, 1000)).toBe(0);
  expect(rankShade(10, 1000)).toBeGreaterThan(rankShade(20, 1000));
  expect(rankShade(0, 0)).toBe(1);
});

test('the table has a row for every token of every cell', () => {
  const { rows } = lensTable(reading);
  expect(rows).toHaveLength(20);
  expect(rows[1]).toEqual({
    layer: 0,
    position: 0,
    at: '<s>',
    place: 1,
    token: 'ring',
    p: 0.25,
    chosen: 'heart',
    chosen_rank: 0,
    chosen_p: 0.75,
    norm: 90,
  });
});
