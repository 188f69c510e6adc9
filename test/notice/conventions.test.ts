// What the paper does with a model, told from how the model answers.

import { expect, test } from 'vitest';
import { paperConventions } from '../../src/notice/conventions.ts';
import { loadFixtureModel } from '../support/golden.ts';

test('of a decoder of its own: BLIP', async () => {
  const model = await loadFixtureModel('blip-tiny');
  expect(paperConventions(model)).toMatchObject({
    moduleSites: ['text_encoder.attn.hook_z', 'text_encoder.cross_attn.hook_z', 'text_encoder.hook_mlp_out'],
    headSite: 'text_encoder.cross_attn.hook_z',
    headPositions: ['answer'],
    attentionPosition: 'answer',
    selectsBy: 'exact',
    template: 'question',
  });
  model.destroy();
});

test('of a prompt that goes on: LLaVA, and a family with templates of its own', async () => {
  const model = await loadFixtureModel('llava-tiny');
  expect(paperConventions(model)).toMatchObject({
    moduleSites: ['language.attn.hook_z', 'language.hook_mlp_out'],
    headSite: 'language.attn.hook_z',
    headPositions: ['answer', 'last'],
    attentionPosition: 'last',
    selectsBy: 'first-letter',
    template: 'llava-one-word',
  });
  const other = { ...pick(model), templates: { chat: '<user><image>{question}<end>' } };
  expect(paperConventions(other).template).toBe('<user><image>{question} Answer with one word.<end>');
  model.destroy();
});

function pick({ answers, promptTower, imageAttention, hooks }: Parameters<typeof paperConventions>[0]) {
  return { answers, promptTower, imageAttention, hooks };
}
