// What patchPair saves must not show: the same interventions on a batch in which nothing is shared give the same bits.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  cutEdges,
  type Intervention,
  interpolate,
  keepFeatures,
  mean,
  noImage,
  type PatchPair,
  patchPair,
  replace,
  runWithHooks,
  scale,
  zero,
} from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { caseJob, expectNoticeError, withoutLeak } from './support.ts';

const clean = { run: 0 };

/** Interventions at these hook points, every operation among them. */
function someOf(
  model: VisionLanguageModel,
  sample: Sample,
  hooks: {
    readonly z: string;
    readonly mlp: string;
    readonly embed: string;
  },
): Intervention[][] {
  const z = { hook: hooks.z, run: 1, positions: [3], heads: [1] };
  const mlp = { hook: hooks.mlp, run: 1, positions: [2, 4] };
  return [
    [],
    [replace(z, clean)],
    [mean(mlp), zero({ ...z, heads: [0] })],
    [
      replace({ ...mlp, hook: hooks.embed }, clean),
      scale(z, -1.5),
      add({ ...z, positions: [5] }, clean, 0.5),
    ],
    [interpolate({ hook: hooks.z, run: 1 }, clean, 0.25)],
    cutEdges(model, sample, { from: 'image', to: [2, 5], layers: [1], heads: [0], run: 1 }),
    cutEdges(model, sample, { from: 'image', run: 1 }),
  ];
}

const FAMILIES = {
  'blip-tiny': {
    z: 'text_encoder.blocks.1.cross_attn.hook_z',
    mlp: 'text_encoder.blocks.0.hook_mlp_out',
    embed: 'vision.hook_embed',
  },
  'llava-tiny': {
    z: 'language.blocks.1.attn.hook_z',
    mlp: 'language.blocks.0.hook_mlp_out',
    embed: 'vision.blocks.0.hook_resid_pre',
  },
};

/** A case of the fixtures as a pair. */
function casePair(golden: Golden, id: string): PatchPair {
  const { sites, ...pair } = caseJob(golden, id, []);
  return pair;
}

describe.each(Object.entries(FAMILIES))('%s', (name, hooks) => {
  let model: VisionLanguageModel;
  let golden: Golden;
  beforeAll(async () => {
    golden = await Golden.open(name);
    model = await loadFixtureModel(name);
  });

  test.each(['image', 'text'] as const)('%s corruption: the bits of runWithHooks', async (mode) => {
    const found = golden.cases.find((one) => one.mode === mode && one.corrupt);
    const pair = casePair(golden, found?.id as string);
    const batch = [pair.clean, pair.corrupt];
    await withoutLeak(model.gpu, async () => {
      const features = await keepFeatures(
        model,
        batch.flatMap(({ images }) => images),
      );
      const [, corrupt] = await runWithHooks(model, batch, {});
      for (const interventions of someOf(model, pair.corrupt, hooks)) {
        const [own, expected] = await runWithHooks(model, batch, { interventions });
        const shared = await patchPair(model, pair, interventions, { features });
        expectSameBits(shared.patched, expected as Float32Array);
        expectSameBits(shared.clean, own as Float32Array);
        expectSameBits(shared.corrupt, corrupt as Float32Array);
        expect(await patchPair(model, pair, interventions)).toEqual(shared);
      }
      model.gpu.release(...features.tensors);
    });
  });
});

describe('blip-tiny', () => {
  let model: VisionLanguageModel;
  let pair: PatchPair;
  beforeAll(async () => {
    model = await loadFixtureModel('blip-tiny');
    pair = casePair(await Golden.open('blip-tiny'), 'case0');
  });

  test('noise on the image embeddings is in the patched run as well', async () => {
    const hook = 'vision.hook_embed';
    const width = model.configs[0]?.width as number;
    const values = new Random(5).vector(model.imagePositions(pair.clean.images) * width);
    const patch = replace({ hook: FAMILIES['blip-tiny'].z, run: 1, positions: [3] }, clean);
    const noisy = { ...pair, corrupt: pair.clean, noise: { hook, values } };
    const found = await patchPair(model, noisy, [patch]);
    const noise = add({ hook, run: 1 }, { values });
    const batch = [pair.clean, pair.clean];
    const [, corrupt] = await runWithHooks(model, batch, { interventions: [noise] });
    const [, patched] = await runWithHooks(model, batch, { interventions: [noise, patch] });
    expectSameBits(found.corrupt, corrupt as Float32Array);
    expectSameBits(found.patched, patched as Float32Array);
    expect(found.patched).not.toEqual(found.corrupt);
  });

  test('without the image as the corruption, a patch brings some of it back', async () => {
    const patch = replace({ hook: FAMILIES['blip-tiny'].z, run: 1, positions: [3] }, clean);
    const blind: PatchPair = { ...pair, corrupt: pair.clean, noImage: true };
    const found = await patchPair(model, blind, [patch]);
    const cuts = noImage(model, pair.clean, { run: 1 });
    const batch = [pair.clean, pair.clean];
    const [, corrupt] = await runWithHooks(model, batch, { interventions: cuts });
    const [, patched] = await runWithHooks(model, batch, { interventions: [...cuts, patch] });
    expectSameBits(found.corrupt, corrupt as Float32Array);
    expectSameBits(found.patched, patched as Float32Array);
    expect(found.patched).not.toEqual(found.corrupt);
  });

  test('refuses what it cannot do', async () => {
    const hook = FAMILIES['blip-tiny'].z;
    for (const run of [0, 2, undefined])
      await expectNoticeError(() => patchPair(model, pair, [zero({ hook, run })]), 'usage', /expected 1/);
    await expectNoticeError(() => patchPair(model, pair, [zero({ hook: 'x', run: 1 })]), 'hook', /unknown/);
    const short = { ...pair, corrupt: { ...pair.corrupt, ids: pair.corrupt.ids.slice(1) } };
    await expectNoticeError(() => patchPair(model, short, []), 'text', /position by position/);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(patchPair(model, pair, [], { signal })).rejects.toThrow('enough');
  });
});
