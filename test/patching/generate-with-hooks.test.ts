// Hooks while an answer is generated: each does in the pass of every new token what it does in a whole pass.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Generated, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type CustomHook,
  generateWithHooks,
  type Intervention,
  replace,
  runWithCache,
  runWithHooks,
  scale,
} from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { withoutLeak } from './support.ts';

const STEPS = { maxNewTokens: 3, keepLogits: true };

interface Setting {
  model: VisionLanguageModel;
  samples: Sample[];
}

async function setting(folder: string): Promise<Setting> {
  const golden = await Golden.open(folder);
  const first = golden.sample('case0', 'clean');
  const others = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
  const samples = [first, others.find(({ ids }) => ids.length !== first.ids.length) as Sample];
  return { model: await loadFixtureModel(folder), samples };
}

function expectSameAnswers(actual: readonly Generated[], expected: readonly Generated[]) {
  expect(actual.map(({ ids }) => ids)).toEqual(expected.map(({ ids }) => ids));
  expected.forEach(({ logits }, sequence) => {
    expect(logits.length).toBeGreaterThan(1);
    logits.forEach((row, step) => {
      expectSameBits(actual[sequence]!.logits[step]!, row, { name: `sequence ${sequence}, step ${step}` });
    });
  });
}

/** A hook that doubles all values, in both ways. */
function doubling(hook: string): CustomHook[] {
  return [
    { hook, wgsl: 'return 2.0 * value;' },
    { hook, callback: (data) => data.map((x) => 2 * x) },
  ];
}

describe.each([
  [
    'blip-tiny',
    [
      'text_encoder.blocks.1.hook_mlp_out',
      'text_decoder.hook_embed',
      'text_decoder.blocks.0.attn.hook_k',
      'text_decoder.blocks.1.attn.hook_pattern',
      'text_decoder.blocks.1.cross_attn.hook_q',
      'text_decoder.blocks.1.cross_attn.hook_k',
      'text_decoder.blocks.2.cross_attn.hook_v',
      'text_decoder.blocks.2.cross_attn.hook_pattern',
      'logits',
    ],
  ],
  [
    'llava-tiny',
    [
      'vision.blocks.0.hook_mlp_out',
      'language.hook_embed',
      'language.blocks.0.attn.hook_rot_k',
      'language.blocks.1.attn.hook_pattern',
      'language.blocks.2.mlp.hook_post',
      'language.hook_out',
    ],
  ],
])('%s', (folder, names) => {
  let model: VisionLanguageModel;
  let samples: Sample[];
  beforeAll(async () => {
    ({ model, samples } = await setting(folder));
  });

  const generate = (options: { interventions?: Intervention[]; hooks?: CustomHook[] }) =>
    withoutLeak(model.gpu, () => generateWithHooks(model, samples, { ...STEPS, ...options }));

  test.each(names)('custom hooks at %s do what an intervention does', async (hook) => {
    const expected = await generate({ interventions: [scale({ hook }, 2)] });
    const plain = await generate({});
    expect(expected.map(({ logits }) => logits)).not.toEqual(plain.map(({ logits }) => logits));
    for (const custom of doubling(hook)) expectSameAnswers(await generate({ hooks: [custom] }), expected);
  });

  test('hooks that change nothing leave every step as it is', async () => {
    const hooks = model.hooks.map(({ name }): CustomHook => ({ hook: name, callback: () => undefined }));
    expectSameAnswers(await generate({ hooks }), await generate({}));
  });
});

describe('llava-tiny', () => {
  let model: VisionLanguageModel;
  let samples: Sample[];
  beforeAll(async () => {
    ({ model, samples } = await setting('llava-tiny'));
  });

  test('a callback sees the prompts, then one new position of each', async () => {
    const hook = 'language.blocks.1.hook_resid_post';
    const seen: { shape: readonly number[]; firstPositions: readonly number[] }[] = [];
    await generateWithHooks(model, samples, {
      maxNewTokens: 3,
      hooks: [
        { hook, callback: (_, { shape, firstPositions }) => void seen.push({ shape, firstPositions }) },
      ],
    });
    const lengths = samples.map(({ ids }) => ids.length);
    expect(seen).toEqual([
      { shape: [2, Math.max(...lengths), 48], firstPositions: [0, 0] },
      { shape: [2, 1, 48], firstPositions: lengths },
      { shape: [2, 1, 48], firstPositions: lengths.map((n) => n + 1) },
    ]);
  });

  test('a cached pattern goes into the prompt, and the new positions go on from there', async () => {
    const [sample] = samples as [Sample];
    const hook = 'language.blocks.1.attn.hook_pattern';
    const other = { ...sample, ids: [...sample.ids].reverse() };
    const { cache } = await runWithCache(model, [other], { names: hook });
    const edit = replace({ hook, positions: [7, sample.ids.length - 1] }, { cached: cache.get(hook) });
    const [answer] = await generateWithHooks(model, [sample], { ...STEPS, interventions: [edit] });
    const [first] = await runWithHooks(model, [sample], { interventions: [edit] });
    expectSameBits(answer!.logits[0]!, first!);
    expect(answer!.logits).toHaveLength(3);
    cache.release();
  });
});
