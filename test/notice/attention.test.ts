// Which keys of a model's attention are patches of the image.

import { expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { attentionSource } from '../../src/notice/experiment/attention.ts';

const IMAGE = 9;

/** What is read of a model with 4 patches and a class token. */
function model(family: string, imageToken?: number): VisionLanguageModel {
  const towers = ['vision', 'text_encoder', 'language'];
  const configs = towers.map((name, i) => ({ name, heads: 2 + i, layers: 5 + i }));
  return { family, imagePositions: 5, config: { imageToken }, configs } as unknown as VisionLanguageModel;
}

const sample = (...ids: number[]) => ({ ids, image: undefined as never });

test('BLIP: cross-attention, but for the class token', () => {
  expect(attentionSource(model('blip'), sample(1, 2, 3))).toEqual({
    names: 'text_encoder.blocks.*.cross_attn.hook_pattern',
    heads: 3,
    layers: 6,
    start: 1,
    count: 4,
  });
});

test('LLaVA: the image tokens of the prompt, but for a class token among them', () => {
  const patches = new Array<number>(4).fill(IMAGE);
  expect(attentionSource(model('llava', IMAGE), sample(1, 2, ...patches, 3))).toEqual({
    names: 'language.blocks.*.attn.hook_pattern',
    heads: 4,
    layers: 7,
    start: 2,
    count: 4,
  });
  // vision_feature_select_strategy "full"
  expect(attentionSource(model('llava', IMAGE), sample(1, IMAGE, ...patches, 3))).toMatchObject({
    start: 2,
    count: 4,
  });
});

test('another family is not guessed at', () => {
  expect(() => attentionSource(model('fresco'), sample(1))).toThrow(/how fresco attends to images/);
});
