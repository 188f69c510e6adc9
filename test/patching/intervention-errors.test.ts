// Interventions that cannot be are refused, with a message that says what and by how much.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  type Intervention,
  interpolate,
  mean,
  replace,
  runWithCache,
  runWithHooks,
  scale,
  zero,
} from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
/** 10 and 15 tokens. */
let samples: Sample[];
let plain: Float32Array[];
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  samples = ['case0', 'case1'].map((id) => golden.sample(id, 'clean'));
  plain = await runWithHooks(model, samples, {});
});

const Z = 'text_encoder.blocks.1.attn.hook_z';
const MLP = 'text_encoder.blocks.1.hook_mlp_out';
const PATTERN = 'text_encoder.blocks.1.attn.hook_pattern';
const IMAGE_KEYS = 'text_encoder.blocks.1.cross_attn.hook_k';
const floats = (count: number) => ({ values: new Float32Array(count) });

describe('refused', () => {
  test.each<[string, Intervention, 'hook' | 'shape', RegExp]>([
    ['a hook', zero({ hook: 'text_encoder.blocks.3.attn.hook_z' }), 'hook', /unknown .*blocks\.3.*nearest/],
    [
      'a position',
      zero({ hook: Z, positions: [2, 15] }),
      'hook',
      /hook_z: position 15 does not exist, .* 10/,
    ],
    [
      'a position of queries',
      zero({ hook: Z.replace('_z', '_q'), run: 1, positions: [15] }),
      'hook',
      /position 15 .* 15/,
    ],
    ['a position of keys', zero({ hook: IMAGE_KEYS, positions: [37] }), 'hook', /hook_k: position 37 .* 37/],
    [
      'a position of a pattern',
      zero({ hook: PATTERN, run: 0, positions: [10] }),
      'hook',
      /position 10 .* 10/,
    ],
    ['a position of the logits', zero({ hook: 'logits', positions: [1] }), 'hook', /logits: position 1 .* 1/],
    ['a negative position', zero({ hook: Z, positions: [-1] }), 'hook', /position -1 does not exist/],
    ['half a position', zero({ hook: Z, positions: [1.5] }), 'hook', /position 1\.5 does not exist/],
    ['a position twice', scale({ hook: Z, positions: [3, 1, 3] }, 2), 'hook', /position 3 is named twice/],
    ['no position', zero({ hook: Z, positions: [] }), 'hook', /hook_z: position: an empty list/],
    ['a head', zero({ hook: Z, heads: [1, 4] }), 'hook', /hook_z: head 4 does not exist, there are 4/],
    ['half a head', zero({ hook: Z, heads: [0.5] }), 'hook', /head 0\.5 does not exist/],
    ['a head twice', zero({ hook: Z, heads: [2, 2] }), 'hook', /head 2 is named twice/],
    ['no head', zero({ hook: Z, heads: [] }), 'hook', /head: an empty list/],
    ['heads where there are none', zero({ hook: MLP, heads: [0] }), 'hook', /hook_mlp_out has no heads/],
    ['features', zero({ hook: Z, features: [5, 11] }), 'hook', /features 5 to 11 are not within its 10/],
    ['features backwards', zero({ hook: MLP, features: [7, 7] }), 'hook', /features 7 to 7 .* 40/],
    ['half features', zero({ hook: MLP, features: [0.5, 2] }), 'hook', /features 0\.5 to 2 .* 40/],
    [
      'keys',
      zero({ hook: PATTERN, run: 0, features: [0, 11] }),
      'hook',
      /keys 0 to 11 are not within its 10/,
    ],
    ['a batch row', zero({ hook: Z, run: 2 }), 'hook', /batch row 2 of 2 does not exist/],
    ['a negative batch row', zero({ hook: Z, run: -1 }), 'hook', /batch row -1 of 2/],
    ["a source's batch row", replace({ hook: Z }, { run: 5 }), 'hook', /batch row 5 of 2/],
    ['no source', { hook: Z, op: 'replace' }, 'hook', /"replace" on .*hook_z needs a source/],
    ['no source to add', { hook: Z, op: 'add', alpha: 2 }, 'hook', /"add" on .*hook_z needs a source/],
    ['no factor', { hook: Z, op: 'scale' }, 'hook', /"scale" on .* needs a finite alpha, found undefined/],
    ['a factor NaN', scale({ hook: Z }, Number.NaN), 'hook', /needs a finite alpha, found NaN/],
    [
      'an infinite factor',
      interpolate({ hook: Z }, { run: 0 }, Number.POSITIVE_INFINITY),
      'hook',
      /alpha, found Infinity/,
    ],
    [
      '41 values',
      replace({ hook: Z, positions: [1, 2] }, floats(41)),
      'shape',
      /41 values for 2 positions of 40 .* 40 or 80/,
    ],
    [
      'values for 3 of 2',
      replace({ hook: Z, positions: [1, 2] }, floats(120)),
      'shape',
      /120 values .* 40 or 80/,
    ],
    [
      'values for too few of all',
      replace({ hook: MLP, run: 0 }, floats(9 * 40)),
      'shape',
      /360 values for 10 .* 40 or 400/,
    ],
    [
      'values for too many',
      replace({ hook: MLP, run: 0 }, floats(11 * 40)),
      'shape',
      /440 values for 10 .* 40 or 400/,
    ],
    [
      'values for rows of two lengths',
      replace({ hook: MLP }, floats(400)),
      'shape',
      /400 values for 15 .* 40 or 600/,
    ],
    ['no values', replace({ hook: MLP }, floats(0)), 'shape', /0 values for 10 positions of 40/],
    [
      'values for fewer heads',
      replace({ hook: Z, heads: [0, 2] }, floats(10)),
      'shape',
      /10 values .* 20 elements/,
    ],
    [
      'values for padded keys',
      replace({ hook: PATTERN, run: 0, heads: [1], positions: [0] }, floats(12)),
      'shape',
      /12 values for 1 positions of 10/,
    ],
    [
      'source positions too few',
      replace({ hook: Z, positions: [1, 2] }, { run: 1, positions: [1] }),
      'shape',
      /1 source positions for 2 target/,
    ],
    [
      'source positions for all',
      replace({ hook: Z }, { run: 1, positions: [1] }),
      'shape',
      /1 source positions for all target/,
    ],
    [
      'a shorter source',
      replace({ hook: Z, run: 1 }, { run: 0 }),
      'hook',
      /hook_z: the source has no position 10/,
    ],
    [
      "a source's position",
      replace({ hook: Z, positions: [1] }, { run: 0, positions: [10] }),
      'hook',
      /no position 10/,
    ],
    [
      'a pattern of fewer keys',
      replace({ hook: PATTERN, run: 1, positions: [0] }, { run: 0 }),
      'shape',
      /hook_pattern has 15 keys, the source 10/,
    ],
    [
      'a mean over other numbers of keys',
      mean({ hook: PATTERN, run: 0 }),
      'shape',
      /has 10 keys, the source 15/,
    ],
  ])('%s', async (_, intervention, code, message) => {
    await withoutLeak(model.gpu, () =>
      expectNoticeError(() => runWithHooks(model, samples, { interventions: [intervention] }), code, message),
    );
  });

  test('caches that do not fit', async () => {
    const { cache } = await runWithCache(model, samples);
    const refused = (intervention: Intervention, code: 'hook' | 'shape', message: RegExp) =>
      expectNoticeError(() => runWithHooks(model, samples, { interventions: [intervention] }), code, message);
    const from = (name: string, batch?: number) => ({
      cached: cache.get(name),
      ...(batch === undefined ? {} : { batch }),
    });
    await refused(
      replace({ hook: MLP }, from('text_encoder.blocks.1.mlp.hook_pre')),
      'shape',
      /40 features, the source .*hook_pre has 136/,
    );
    await refused(
      replace({ hook: PATTERN }, from('vision.blocks.1.attn.hook_pattern')),
      'shape',
      /has 4 heads, the source .* has 5/,
    );
    await refused(replace({ hook: PATTERN }, from(MLP)), 'shape', /keys where the other has features/);
    await refused(replace({ hook: MLP }, from(PATTERN)), 'shape', /keys where the other has features/);
    await refused(
      replace({ hook: PATTERN, run: 0 }, from(PATTERN, 1)),
      'shape',
      /has 10 keys, the source 15/,
    );
    await refused(
      replace({ hook: MLP, run: 1 }, from(MLP, 0)),
      'hook',
      /no position 10 of batch row 0 .*10, 15/,
    );
    await refused(replace({ hook: MLP, run: 1 }, from(MLP, 2)), 'hook', /no position 0 of batch row 2/);
    await refused(
      add({ hook: MLP, run: 0, positions: [0] }, { ...from(MLP, 1), positions: [0.5] }),
      'hook',
      /no position 0\.5 of batch row 1/,
    );
    cache.release();
  });

  test('nothing of it stays', async () => {
    const after = await runWithHooks(model, samples, {});
    after.forEach((row, i) => {
      expectSameBits(row, plain[i]!);
    });
  });
});

describe('unfired', () => {
  test.each<[string, Intervention]>([
    ['vision.hook_out', zero({ hook: 'text_encoder.hook_embed' })],
    ['text_encoder.blocks.1.attn.hook_v', mean({ hook: 'text_encoder.blocks.1.attn.hook_z' })],
    ['text_encoder.blocks.1.attn.hook_k', zero({ hook: PATTERN, positions: [3] })],
    ['text_decoder.hook_head_transform', scale({ hook: 'logits' }, 2)],
  ])('the run ends at %s', async (stopAfter, intervention) => {
    await withoutLeak(model.gpu, () =>
      expectNoticeError(
        () => runWithCache(model, samples, { stopAfter, names: () => false, interventions: [intervention] }),
        'unfired',
        `"${intervention.op}" on ${intervention.hook}${intervention.positions ? ' at position 3' : ''} never fired`,
      ),
    );
  });

  test('one of several', async () => {
    const stopAfter = 'text_encoder.hook_embed';
    await expectNoticeError(
      () =>
        runWithCache(model, samples, {
          stopAfter,
          names: () => false,
          interventions: [zero({ hook: stopAfter }), zero({ hook: Z, positions: [4] })],
        }),
      'unfired',
      `on ${Z} at position 4 never fired`,
    );
  });

  test('at the last hook point it fires', async () => {
    const { cache } = await runWithCache(model, samples, {
      stopAfter: MLP,
      names: MLP,
      interventions: [zero({ hook: MLP })],
    });
    expect((await cache.read(MLP)).every((x) => x === 0)).toBe(true);
    cache.release();
  });
});
