// What the families say of themselves: names that users and the experiment go by.

import { describe, expect, test } from 'vitest';
import { loadModel } from '../../src/models/index.ts';
import { nodeFolder } from '../../src/platform/node/index.ts';
import { fixture } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

const FAMILIES = {
  'blip-tiny': {
    family: 'blip',
    answers: 'decoder',
    towers: ['vision', 'text_encoder', 'text_decoder'],
    promptTower: 'text_encoder',
    promptEmbedding: 'text_encoder.hook_embed',
    promptOutput: 'text_encoder.blocks.2.hook_normalized_resid_post',
    imageAttention: 'text_encoder.cross_attn',
    imageEmbedding: 'vision.hook_embed',
    imageToken: undefined,
    templates: { question: '{question}' },
    vocabulary: 187,
  },
  'llava-tiny': {
    family: 'llava',
    answers: 'continuation',
    towers: ['vision', 'projector', 'language'],
    promptTower: 'language',
    promptEmbedding: 'language.hook_embed',
    imageAttention: 'language.attn',
    imageEmbedding: 'vision.hook_embed',
  },
} as const;

/** Hook points of a block's attention: shape without batch, and the module of transformers. */
const ATTENTION = {
  'text_encoder.blocks.1.cross_attn.hook_q': ['position', 4, 10, 'crossattention.self.query'],
  'text_encoder.blocks.1.cross_attn.hook_k': ['memory position', 4, 10, 'crossattention.self.key'],
  'text_encoder.blocks.1.cross_attn.hook_v': ['memory position', 4, 10, 'crossattention.self.value'],
  'text_encoder.blocks.1.cross_attn.hook_attn_scores': [4, 'position', 'memory position', 'masked −inf'],
  'text_encoder.blocks.1.cross_attn.hook_pattern': [
    4,
    'position',
    'memory position',
    'softmax of the scores',
  ],
  'text_encoder.blocks.1.cross_attn.hook_z': ['position', 4, 10, 'crossattention.output.dense'],
  'vision.blocks.0.attn.hook_q': ['position', 5, 8, 'self_attn.qkv, first third'],
  'vision.blocks.0.attn.hook_k': ['key', 5, 8, 'self_attn.qkv, second third'],
  'vision.blocks.0.attn.hook_v': ['key', 5, 8, 'self_attn.qkv, last third'],
  'vision.blocks.0.attn.hook_pattern': [5, 'position', 'key', 'softmax of the scores'],
} as const;

const load = async (name: string) => loadModel(await testGpu(), nodeFolder(fixture(name)));
const blip = load('blip-tiny');

describe.each(Object.entries(FAMILIES))('%s', async (name, expected) => {
  const model = await (name === 'blip-tiny' ? blip : load(name));

  test('has the properties that everything goes by', () => {
    const { imageToken, ...rest } = { imageToken: null, ...expected };
    expect(model).toMatchObject(rest);
    if (imageToken === undefined) expect(model.imageToken).toBeUndefined();
    const names = model.hooks.map((hook) => hook.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining([model.promptEmbedding, model.promptOutput, model.imageEmbedding]),
    );
  });
});

test.each(Object.entries(ATTENTION))(
  '%s is listed with shape and module',
  async (hook, [a, b, c, module]) => {
    const model = await blip;
    const found = model.hooks.find((info) => info.name === hook);
    expect(found?.shape).toEqual([a, b, c]);
    expect(found?.module).toContain(module);
  },
);
