// attn.hook_result: Hugging Face's z of each head times its columns of the output projection, in f64.

import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { findHook, hooks, runWithCache, runWithHooks, zero } from '../../src/patching/index.ts';
import { linear, toRows } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { type Weights, weightsOf } from '../support/weights.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

const PLACES = [
  [
    'blip-tiny',
    'text_encoder.blocks.1.cross_attn',
    'text_encoder.encoder.layer.1.crossattention.output.dense',
  ],
  ['blip-tiny', 'text_decoder.blocks.0.attn', 'text_decoder.bert.encoder.layer.0.attention.output.dense'],
  ['llava-tiny-gqa', 'language.blocks.1.attn', 'language_model.model.layers.1.self_attn.o_proj'],
  ['gemma3-tiny', 'language.blocks.0.attn', 'language_model.model.layers.0.self_attn.o_proj'],
] as const;

describe.each(PLACES)('%s %s', (folder, attention, module) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let weights: Weights;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    weights = await weightsOf(folder);
  });

  test("Hugging Face's z of each head through its columns of the weight", async () => {
    const name = `${attention}.hook_result`;
    const { shape } = findHook(model, name);
    const [, heads, width] = shape as [string, number, number];
    const { data } = golden.get(`case0/clean/${attention}.hook_z`);
    const weight = weights(`${module}.weight`);
    const columns = weight[0]?.length as number;
    const size = columns / heads;
    const z = toRows(data, columns);
    const { cache } = await runWithCache(model, [golden.sample('case0', 'clean')], { names: name });
    expect(cache.get(name).shape).toEqual([1, z.length, heads, width]);
    const results = toRows(await cache.read(name), width);
    cache.release();
    for (let head = 0; head < heads; head++) {
      const own = (row: ArrayLike<number>) => Array.from(row).slice(head * size, (head + 1) * size);
      const expected = linear(z.map(own), weight.map(own));
      const largest = Math.max(...expected.flatMap((row) => Array.from(row, Math.abs)));
      for (const [position, row] of expected.entries())
        expectClose(results[position * heads + head] as Float32Array, row, {
          atol: GOLDEN * largest,
          name: `head ${head} at ${position}`,
        });
    }
  });
});

test.each(['f32', 'nf4', 'int8'] as const)(
  'heads and bias add up to the output, weights in %s',
  async (dtype) => {
    const golden = await Golden.open('blip-tiny');
    const model = await loadFixtureModel('blip-tiny', { dtype });
    const weights = await weightsOf('blip-tiny');
    const bias = weights('text_encoder.encoder.layer.1.attention.output.dense.bias')[0] as Float32Array;
    const block = 'text_encoder.blocks.1';
    const out = `${block}.hook_attn_out`;
    const result = `${block}.attn.hook_result`;
    const { cache } = await runWithCache(model, [golden.sample('case0', 'clean')], { names: [result, out] });
    expect(cache.names).toEqual([result, out]);
    const [, , heads, width] = cache.get(result).shape as [number, number, number, number];
    const results = await cache.read(result);
    const sums = (await cache.read(out)).map((_, i) => {
      const [position, column] = [Math.floor(i / width), i % width];
      let sum = bias[column] as number;
      for (let h = 0; h < heads; h++) sum += results[(position * heads + h) * width + column] as number;
      return sum;
    });
    // Sums of `heads` rounded products, each rounded as one product is.
    expectClose(sums, await cache.read(out), { atol: 1e-5, name: out });
    cache.release();
    model.destroy();
  },
);

describe('asked for by name only', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
  });

  test('not by other globs, nor by functions; listed when asked', async () => {
    const sample = golden.sample('case0', 'clean');
    for (const names of ['language.blocks.0.*', () => true] as const) {
      const { cache } = await runWithCache(model, [sample], { names });
      expect(cache.names.filter((name) => name.includes('result'))).toEqual([]);
      cache.release();
    }
    expect(hooks(model).some(({ derived }) => derived)).toBe(false);
    const derived = hooks(model, { derived: true }).filter((hook) => hook.derived);
    expect(derived).toHaveLength(hooks(model).filter(({ name }) => name.endsWith('hook_z')).length);
    // Without its tower, as every name of a language model.
    const { cache } = await runWithCache(model, [sample], { names: 'blocks.*.attn.hook_result' });
    expect(cache.names).toEqual(derived.flatMap(({ name }) => (name.startsWith('language') ? [name] : [])));
    cache.release();
  });

  test('it can be read, not changed', async () => {
    const sample = golden.sample('case0', 'clean');
    await withoutLeak(model.gpu, () =>
      expectNoticeError(
        () => runWithHooks(model, [sample], { interventions: [zero({ hook: 'blocks.0.attn.hook_result' })] }),
        'hook',
        /language\.blocks\.0\.attn\.hook_result is made of hook_z .* Change language\.blocks\.0\.attn\.hook_z/,
      ),
    );
  });

  test('it sees what interventions leave', async () => {
    const sample = golden.sample('case0', 'clean');
    const names = 'blocks.1.attn.hook_result';
    const interventions = [zero({ hook: 'blocks.1.attn.hook_z', heads: [1], positions: [2] })];
    const { cache } = await runWithCache(model, [sample], { names, interventions });
    const name = `language.${names}`;
    const [, , heads, width] = cache.get(name).shape as [number, number, number, number];
    const values = toRows(await cache.read(name), width);
    cache.release();
    expect(values[2 * heads + 1]?.every((value) => value === 0)).toBe(true);
    expect(values[3 * heads + 1]?.some((value) => value !== 0)).toBe(true);
  });
});
