// What runWithCache keeps, of what shape, and that nothing stays behind, whatever goes wrong.

import { beforeAll, describe, expect, test } from 'vitest';
import type { ImageInput, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import { hooks, runWithCache, runWithHooks, zero } from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, HostActivation, withoutLeak } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
let sample: Sample;
let held: number; // what others left on the device that all files share
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  sample = golden.sample('case0', 'clean');
  held = model.gpu.pool.statistics.usedBytes;
});

const names = () => hooks(model).map(({ name }) => name);

describe('names', () => {
  test.each<[string, string | string[], (name: string) => boolean]>([
    ['a name', 'vision.hook_out', (name) => name === 'vision.hook_out'],
    ['a glob', 'text_encoder.*.hook_z', (name) => /^text_encoder\..*\.hook_z$/.test(name)],
    [
      'braces',
      'vision.blocks.{0,2}.attn.hook_[qk]',
      (name) => /^vision\.blocks\.[02]\.attn\.hook_[qk]$/.test(name),
    ],
    [
      'a list, in any order',
      ['logits', 'vision.hook_embed'],
      (name) => /^(logits|vision\.hook_embed)$/.test(name),
    ],
    ['everything', '*', () => true],
  ])('%s', async (_, filter, expected) => {
    const { cache, logits } = await runWithCache(model, [sample], { names: filter });
    expect(cache.names).toEqual(names().filter(expected));
    expect(cache.names.length).toBeGreaterThan(0);
    expect(logits?.[0]).toHaveLength(model.vocabulary);
    cache.release();
  });

  test('a function, also one that wants nothing', async () => {
    const some = await runWithCache(model, [sample], { names: (name) => name.endsWith('hook_mlp_out') });
    expect(some.cache.names).toEqual(names().filter((name) => name.endsWith('hook_mlp_out')));
    some.cache.release();
    const none = await runWithCache(model, [sample], { names: () => false });
    expect(none.cache.names).toEqual([]);
    expect(none.cache.has('logits')).toBe(false);
  });

  test('one that does not exist: the nearest are named', async () => {
    await expectNoticeError(
      () => runWithCache(model, [sample], { names: 'text_encoder.blocks.1.attn.hook_zz' }),
      'hook',
      /"text_encoder\.blocks\.1\.attn\.hook_zz"; the nearest are text_encoder\.blocks\.1\.attn\.hook_z,/,
    );
    // One glob of several that matches nothing is a mistake too.
    await expectNoticeError(
      () => runWithCache(model, [sample], { names: ['vision.hook_out', 'vision.blocks.3.*'] }),
      'hook',
      /unknown hook point "vision\.blocks\.3\.\*"; the nearest are vision\./,
    );
    await expectNoticeError(
      () => runWithCache(model, [sample], { names: '' }),
      'hook',
      /unknown hook point ""/,
    );
    await expectNoticeError(
      () => runWithCache(model, [sample], { stopAfter: 'vision.hook_ot' }),
      'hook',
      /"vision\.hook_ot"; the nearest are vision\.hook_out,/,
    );
  });

  test('one that was not cached', async () => {
    const { cache } = await runWithCache(model, [sample], { names: 'vision.hook_out' });
    expect(() => cache.get('logits')).toThrow('"logits" is not in the cache; it holds vision.hook_out');
    cache.release();
    expect(() => cache.get('vision.hook_out')).toThrow('it holds nothing');
  });
});

test('shapes are those of the table, and rows of a batch what each prompt gives alone', async () => {
  const samples = ['case0', 'case2'].map((id) => golden.sample(id, 'clean'));
  const lengths = samples.map(({ ids }) => ids.length);
  const { cache } = await runWithCache(model, samples);
  expect(cache.names).toEqual(names());
  const alone = await Promise.all(samples.map((one) => runWithCache(model, [one])));
  for (const { name, shape } of hooks(model)) {
    const cached = cache.get(name);
    const [tower] = name.split('.');
    const own = (batch: number) =>
      tower === 'vision'
        ? model.imagePositions([model.blankImage()])
        : tower === 'text_encoder'
          ? lengths[batch]!
          : 1;
    const memory = (batch: number) =>
      tower === 'text_encoder' ? model.imagePositions([model.blankImage()]) : lengths[batch]!;
    const sizes = (batch: number) =>
      shape.map((size) =>
        typeof size === 'number' ? size : size === 'memory position' ? memory(batch) : own(batch),
      );
    const longest = sizes(0).map((size, axis) => Math.max(size, sizes(1)[axis] as number));
    expect(cached.shape, name).toEqual([2, ...longest]);
    const together = new HostActivation(name, cached.shape, await cached.read());
    for (const batch of [0, 1]) {
      const one = alone[batch]!.cache.get(name);
      expect(one.shape, name).toEqual([1, ...sizes(batch)]);
      const single = new HostActivation(name, one.shape, await one.read());
      // What is beyond the shorter prompt is zero; the rest has the same bits.
      const padded = new HostActivation(name, cached.shape, new Float32Array(together.data.length));
      for (let p = 0; p < single.positions; p++)
        for (let h = 0; h < single.heads; h++)
          for (let f = 0; f < single.size; f++)
            padded.data[padded.index(batch, p, h, f)] = single.data[single.index(0, p, h, f)]!;
      expectSameBits(together.row(batch), padded.row(batch), { name });
    }
  }
  for (const one of [...alone, { cache }]) one.cache.release();
  expect(model.gpu.pool.statistics.usedBytes).toBe(held);
});

describe('stopAfter', () => {
  test.each([
    'vision.hook_embed',
    'vision.blocks.1.attn.hook_pattern',
    'text_encoder.blocks.0.cross_attn.hook_k',
    'text_encoder.blocks.2.mlp.hook_pre',
    'text_decoder.hook_head_transform',
    'logits',
  ])('%s', async (stopAfter) => {
    const before = model.gpu.statistics.dispatches;
    const whole = await runWithCache(model, [sample]);
    const wholeDispatches = model.gpu.statistics.dispatches - before;
    const part = await runWithCache(model, [sample], { stopAfter });
    const partDispatches = model.gpu.statistics.dispatches - before - wholeDispatches;
    expect(part.logits).toBeUndefined();
    const upTo = names().indexOf(stopAfter) + 1;
    expect(part.cache.names).toEqual(names().slice(0, upTo));
    // Nothing above is computed: the share of dispatches is about that of the hook points.
    expect(partDispatches / wholeDispatches).toBeLessThan(upTo / names().length + 0.1);
    for (const [name, activation] of part.cache)
      expectSameBits(await activation.read(), await whole.cache.read(name), { name });
    whole.cache.release();
    part.cache.release();
    expect(model.gpu.pool.statistics.usedBytes).toBe(held);
  });

  test('without anything to cache', async () => {
    const { cache, logits } = await runWithCache(model, [sample], {
      names: () => false,
      stopAfter: 'vision.hook_out',
    });
    expect(logits).toBeUndefined();
    expect(cache.names).toEqual([]);
  });
});

describe('memory', () => {
  test('release gives all of it back, once', async () => {
    await withoutLeak(model.gpu, async () => {
      const { cache } = await runWithCache(model, [sample, golden.sample('case1', 'clean')]);
      const activation = cache.get('vision.hook_out');
      expect(model.gpu.pool.statistics.usedBytes).toBeGreaterThan(4 * 2 * 37 * 40);
      cache.release();
      cache.release();
      // Its memory belongs to others now, so it must not be read.
      await expectNoticeError(() => activation.read(), 'hook', /vision\.hook_out.*has been released/);
      await expectNoticeError(
        () =>
          runWithHooks(model, [sample], {
            interventions: [{ hook: 'vision.hook_out', op: 'replace', source: { cached: activation } }],
          }),
        'hook',
        /has been released/,
      );
    });
  });

  test('runs at the same time do not disturb each other', async () => {
    const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
    const apart: Float32Array[] = [];
    for (const one of samples) apart.push((await runWithHooks(model, [one], {}))[0]!);
    const together = await Promise.all(samples.map((one) => runWithHooks(model, [one], {})));
    together.forEach((logits, i) => {
      expectSameBits(logits[0]!, apart[i]!);
    });
  });

  const thrower = (hook: string) => ({
    hook,
    callback: () => {
      throw new Error(`thrown at ${hook}`);
    },
  });

  test.each([
    'vision.hook_embed',
    'vision.blocks.1.attn.hook_k',
    'vision.blocks.1.attn.hook_pattern',
    'text_encoder.blocks.0.hook_attn_out',
    'text_encoder.blocks.1.cross_attn.hook_v',
    'text_encoder.blocks.2.mlp.hook_pre',
    'text_decoder.blocks.0.cross_attn.hook_attn_scores',
    'logits',
  ])('an error at %s', async (hook) => {
    const [plain] = await runWithHooks(model, [sample], {});
    await withoutLeak(model.gpu, () =>
      expect(runWithCache(model, [sample], { hooks: [thrower(hook)] })).rejects.toThrow(`thrown at ${hook}`),
    );
    expectSameBits((await runWithHooks(model, [sample], {}))[0]!, plain!);
  });

  test.each<[string, () => Sample[], string, RegExp]>([
    ['no samples', () => [], 'usage', /no samples/],
    ['no tokens', () => [{ ...sample, ids: [] }], 'text', /without any token/],
    ['a token that does not exist', () => [{ ...sample, ids: [5, 187, 6] }], 'shape', /token id 187 .* 187/],
    [
      'too many tokens',
      () => [{ ...sample, ids: Array(41).fill(7) }],
      'shape',
      /position 40 is beyond the 40/,
    ],
    [
      'NaN in the image of the second',
      () => {
        const [image] = sample.images as [ImageInput];
        const data = image.data.slice();
        data[9] = Number.NaN;
        return [sample, { ...sample, images: [{ ...image, data }] }];
      },
      'shape',
      /image 1: pixel value 9 is NaN/,
    ],
    ['no image', () => [{ ...sample, images: [] }], 'image', /reads one image with each prompt, found 0/],
    [
      'two images',
      () => [{ ...sample, images: [...sample.images, ...sample.images] }],
      'image',
      /reads one image with each prompt, found 2/,
    ],
    [
      'an image of the wrong size',
      () => [{ ...sample, images: [{ width: 40, height: 48, data: new Float32Array(3 * 40 * 48) }] }],
      'shape',
      /40×48, the model expects 48×48/,
    ],
  ])('%s', async (_, samples, code, message) => {
    await withoutLeak(model.gpu, () =>
      expectNoticeError(() => runWithCache(model, samples()), code as 'shape', message),
    );
  });

  test('an intervention that does not fire', async () => {
    await withoutLeak(model.gpu, () =>
      expectNoticeError(
        () =>
          runWithCache(model, [sample], {
            stopAfter: 'vision.hook_out',
            interventions: [zero({ hook: 'text_encoder.hook_embed' })],
          }),
        'unfired',
        /never fired/,
      ),
    );
  });
});
