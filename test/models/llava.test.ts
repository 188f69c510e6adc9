import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { runWithCache, runWithHooks } from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { renamedWeights } from '../support/folder.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { alteredConfig, alteredModel, TINY, weight } from './llava-support.ts';

const NOT_HOOKS = ['input_ids', 'pixel_values', 'generate_logits', 'logits_nf4_weights'];

describe.each(['llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
  });

  describe.each(['case0', 'case1', 'case2', 'case3'])('%s', (id) => {
    test.each(['clean', 'corrupt'] as const)('every activation of the %s run', async (run) => {
      const prefix = `${id}/${run}/`;
      const names = golden
        .names(prefix)
        .map((full) => full.slice(prefix.length))
        .filter((name) => !NOT_HOOKS.includes(name));
      const { logits, cache } = await runWithCache(model, [golden.sample(id, run)]);
      for (const name of names) {
        const { shape, data } = golden.get(prefix + name);
        expect(cache.get(name).shape, name).toEqual([1, ...shape]);
        expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
      }
      expectSameBits(logits?.[0] as Float32Array, await cache.read('logits'));
      cache.release();
      // The first case's clean run has all 15 for every block of LLaMA, others with activations 3; the rest have the logits.
      const { activations } = golden.cases.find((c) => c.id === id) ?? {};
      const whole = id === 'case0' && run === 'clean';
      expect(names.length).toBeGreaterThanOrEqual(activations ? 4 * (whole ? 15 : 3) : 1);
    });
  });

  test('every hook point is passed, with the shape that the table says', async () => {
    const sample = golden.sample('case0', 'clean');
    const { cache } = await runWithCache(model, [sample]);
    expect(cache.names).toEqual(model.hooks.map(({ name }) => name));
    for (const { name, shape } of model.hooks) {
      const positions = name.startsWith('vision.')
        ? model.imagePositions([model.blankImage()])
        : sample.ids.length;
      const sizes: Record<string, number> = {
        position: positions,
        key: positions,
        feature: model.imagePositions([model.blankImage()]) - 1,
      };
      const expected = shape.map((size) => sizes[size] ?? size);
      expect(cache.get(name).shape.slice(-shape.length), name).toEqual(expected);
    }
    cache.release();
  });

  test('a batch of unequal lengths gives each row what it gives alone, bit for bit', async () => {
    const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
    const together = await runWithHooks(model, samples, {});
    for (const [i, sample] of samples.entries()) {
      const [alone] = await runWithHooks(model, [sample], {});
      expectSameBits(together[i] as Float32Array, alone as Float32Array);
    }
  });

  test.each(['language.hook_out', 'logits_all'])(
    'who looks at %s does not change the logits',
    async (names) => {
      const sample = golden.sample('case0', 'clean');
      const [alone] = await runWithHooks(model, [sample], {});
      const { logits, cache } = await runWithCache(model, [sample], { names });
      cache.release();
      expectSameBits(logits?.[0] as Float32Array, alone as Float32Array);
    },
  );
});

test('llava-tiny-f16: logits of f16 weights in three shards', async () => {
  const model = await loadFixtureModel('llava-tiny-f16');
  const golden = await Golden.open('llava-tiny-f16', 'llava-tiny');
  const inputs = await Golden.open('llava-tiny');
  const names = golden.names('').filter((name) => name.endsWith('/logits'));
  expect(names).toHaveLength(8);
  for (const name of names) {
    const [id, run] = name.split('/') as [string, 'clean' | 'corrupt'];
    const [logits] = await runWithHooks(model, [inputs.sample(id, run)], {});
    expectClose(logits ?? [], golden.get(name).data, { ofMax: GOLDEN, name });
  }
  model.destroy();
});

describe('layouts of the checkpoint', () => {
  const HEAD = 'language_model.lm_head.weight';
  let golden: Golden;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
  });

  async function logitsOf(files: Parameters<typeof alteredModel>[0]): Promise<Float32Array> {
    const model = await alteredModel(files);
    const [logits] = await runWithHooks(model, [golden.sample('case0', 'clean')], {});
    model.destroy();
    return logits as Float32Array;
  }

  test.each<[string, (name: string) => string]>([
    ['a state dict of transformers 4.52 to 4.57', stateDict],
    ['the same without vision_model in between', (name) => stateDict(name).replace('.vision_model', '')],
    ['vision tower without its class', (name) => name.replace(/^vision_tower\./, '')],
  ])('%s', async (_, rename) => {
    const buffer = { dtype: 'F32', shape: [4], data: new Float32Array(4) } as const;
    const added = new Map([['language_model.model.layers.0.self_attn.rotary_emb.inv_freq', buffer]]);
    const logits = await logitsOf({ 'model.safetensors': await renamedWeights(TINY, rename, added) });
    expectClose(logits, golden.get('case0/clean/logits').data, { ofMax: GOLDEN });
  });

  function stateDict(name: string): string {
    return name
      .replace('language_model.lm_head', 'lm_head')
      .replace('language_model.model', 'model.language_model')
      .replace(/^(vision_tower|multi_modal_projector)/, 'model.$1');
  }

  test('a head tied to the embeddings is the same as a copy of them', async () => {
    const withoutHead = (name: string) => (name === HEAD ? 'unused' : name);
    const embeddings = new Map([[HEAD, await weight('language_model.model.embed_tokens.weight')]]);
    const tied = await logitsOf({
      'config.json': await alteredConfig({}, { tie_word_embeddings: true }),
      'model.safetensors': await renamedWeights(TINY, withoutHead),
    });
    const copied = await logitsOf({
      'model.safetensors': await renamedWeights(TINY, withoutHead, embeddings),
    });
    expectSameBits(tied, copied);
  });

  test.each([HEAD, 'vision_tower.vision_model.pre_layrnorm.bias', 'multi_modal_projector.linear_1.weight'])(
    'a missing tensor is named (%s)',
    async (missing) => {
      const file = await renamedWeights(TINY, (name) => (name === missing ? 'unused' : name));
      await expect(alteredModel({ 'model.safetensors': file })).rejects.toThrow(
        expect.objectContaining({
          code: 'weights',
          message: expect.stringContaining(missing.split('.').slice(-2).join('.')),
        }),
      );
    },
  );

  test('two language models are one too many', async () => {
    const other = new Map([
      ['other.embed_tokens.weight', await weight('language_model.model.embed_tokens.weight')],
    ]);
    const file = await renamedWeights(TINY, (name) => name, other);
    await expect(alteredModel({ 'model.safetensors': file })).rejects.toThrow(
      /expected one tensor named "embed_tokens.weight"/,
    );
  });
});
