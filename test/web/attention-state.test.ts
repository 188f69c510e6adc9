import { expect, test } from 'vitest';
import { byEffect, headsAmong, largestGrid } from '../../src/web/state/attention.ts';

const heads = [0, 1, 2, 3].map((head) => ({ layer: 1, head }));

test('heads are ordered by the size of their effects, those without one last', () => {
  const effects = [0.1, undefined, -2, 0.5];
  const order = byEffect(heads, ({ head }) => effects[head]).map(({ head }) => head);
  expect(order).toEqual([2, 3, 0, 1]);
});

test('pinned heads of an attention are found, of whatever hook point of it', () => {
  const pins = [
    { hooks: ['text_encoder.blocks.2.cross_attn.hook_z'], heads: [1, 3] },
    { hooks: ['text_encoder.blocks.2.cross_attn.hook_pattern'], heads: [3] },
    { hooks: ['text_encoder.blocks.0.attn.hook_z'], heads: [0] },
    { hooks: ['text_encoder.blocks.1.hook_mlp_out'] },
  ];
  expect(headsAmong(pins, 'text_encoder.cross_attn')).toEqual([
    { layer: 2, head: 1 },
    { layer: 2, head: 3 },
  ]);
});

test('of several grids that of most patches is shown', () => {
  expect(
    largestGrid([
      { rows: 2, columns: 2 },
      { rows: 4, columns: 3 },
      { rows: 3, columns: 3 },
    ]),
  ).toBe(1);
});
