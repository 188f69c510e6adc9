import { beforeAll, describe, expect, test } from 'vitest';
import { loadModel, Processor, type Sample, type VisionLanguageModel } from '../../../src/models/index.ts';
import { parsePaliGemmaConfig } from '../../../src/models/paligemma/config.ts';
import { runWithCache, runWithHooks } from '../../../src/patching/index.ts';
import { nodeFolder } from '../../../src/platform/node/files.ts';
import type { HostTensor } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, Golden } from '../../support/golden.ts';
import { testFamily, testPrompts } from '../../support/golden-family.ts';
import { testGpu } from '../../support/gpu.ts';

/** A key/value cache's step against a pass over prompt and answer. */
function testSteps(open: () => { model: VisionLanguageModel; golden: Golden }): void {
  test('a step with the cache gives the bits of a pass over prompt and answer, in which the answer looks back', async () => {
    const { model, golden } = open();
    const sample = golden.sample('case1', 'clean');
    const [answer] = await model.generate([sample], { maxNewTokens: 4, keepLogits: true });
    const { ids = [], logits = [] } = answer ?? {};
    const promptEnd = sample.ids.length;
    const whole = (count: number): Sample => ({
      ...sample,
      promptEnd,
      ids: [...sample.ids, ...ids.slice(0, count)],
    });
    for (const step of [1, 3]) {
      const [expected] = await runWithHooks(model, [whole(step)], {});
      expectSameBits(logits[step] as Float32Array, expected as Float32Array, { name: `step ${step}` });
    }
    // The prompt sees nothing of the answer.
    const names = ['language.blocks.1.attn.hook_pattern'];
    const { cache } = await runWithCache(model, [whole(3)], { names });
    const [, heads, positions] = cache.get(names[0]!).shape as [number, number, number];
    const pattern = await cache.read(names[0]!);
    cache.release();
    for (let h = 0; h < heads; h++)
      for (let q = 0; q < positions; q++)
        for (let k = promptEnd; k < positions; k++) {
          const seen = (pattern[(h * positions + q) * positions + k] as number) > 0;
          expect(seen).toBe(q >= promptEnd && k <= q);
        }
  });
}

// 15 in every block of the language model (two more in a sandwich), 11 in every one of the vision tower.
testFamily({ folder: 'paligemma-tiny', activations: 3 * 15 + 3 * 11 }, (opened) => {
  testSteps(() => opened);
  testPrompts('paligemma-tiny', opened);
});
testFamily({ folder: 'paligemma2-tiny', activations: 3 * 17 + 2 * 11 }, (opened) => testSteps(() => opened));

test('a question is asked in the template, and what a user has completed is left alone', async () => {
  const folder = nodeFolder(fixture('paligemma-tiny'));
  const model = await loadModel(await testGpu(), folder);
  const processor = await Processor.load(model, folder);
  const text = (question: string) => processor.encode(question).text;
  expect(text('Is it?')).toBe('<image><bos>answer en Is it?\n');
  expect(text('<image>caption en')).toBe('<image><bos>caption en\n');
  expect(text('<image><bos>caption en\n')).toBe('<image><bos>caption en\n');
  expect(processor.answerContext).toBe('\n');
  model.destroy();
});

describe('layouts of the checkpoint', () => {
  const ORIGINAL = (name: string) => name.replace(/^vision_tower\./, 'vision_tower.vision_model.');
  /** What 4.52 to 4.57 have in memory, and a state dict holds; their save_pretrained writes the hub's names. */
  const STATE_DICT = (name: string) =>
    `model.${ORIGINAL(name)}`.replace('language_model.model.', 'language_model.');
  let golden: Golden;
  beforeAll(async () => {
    golden = await Golden.open('paligemma2-tiny');
  });

  test.each([
    ["the hub's", ORIGINAL],
    ["a state dict's of 4.52 to 4.57", STATE_DICT],
  ])('%s', async (_, rename) => {
    const folder = nodeFolder(fixture('paligemma2-tiny'));
    // A state dict has the tied head once more.
    const unread: HostTensor = { dtype: 'F32', shape: [1], data: Float32Array.of(Number.NaN) };
    const files = {
      'model.safetensors': await renamedWeights(folder, rename, new Map([['lm_head.weight', unread]])),
    };
    const model = await loadModel(await testGpu(), folderWith(files, folder));
    const [logits] = await runWithHooks(model, [golden.sample('case1', 'clean')], {});
    model.destroy();
    expectClose(logits as Float32Array, golden.get('case1/clean/logits').data, { ofMax: GOLDEN });
  });
});

describe('config.json', () => {
  test('of PaliGemma 3B leaves out what the classes have', () => {
    const { vision, language, imageToken, stopTokens } = parsePaliGemmaConfig({
      eos_token_id: 1,
      image_token_index: 257152,
      text_config: {
        ...{ hidden_size: 2048, intermediate_size: 16384, model_type: 'gemma', vocab_size: 257216 },
        ...{ num_attention_heads: 8, num_hidden_layers: 18, num_key_value_heads: 1, hidden_act: 'gelu' },
      },
      vision_config: {
        ...{ hidden_size: 1152, intermediate_size: 4304, model_type: 'siglip_vision_model', patch_size: 14 },
        ...{ num_attention_heads: 16, num_hidden_layers: 27, projector_hidden_act: 'gelu_fast' },
      },
    });
    expect(vision).toMatchObject({ imageSize: 224, patchSize: 14, eps: 1e-6, classToken: false });
    expect(vision.tower.activation).toBe('gelu_pytorch_tanh');
    expect(language).toMatchObject({
      eps: 1e-6,
      tiedHead: true,
      unitNorms: true,
      firstPlace: 1,
      vocabulary: 257216,
    });
    expect(language.tower).toMatchObject({
      ...{
        headSize: 256,
        keyHeads: 1,
        activation: 'gelu_pytorch_tanh',
        causal: true,
        rotary: { theta: 10000 },
      },
    });
    expect(language.embeddingScale).toBe(Math.fround(Math.sqrt(2048)));
    expect(language.tower.windows).toBeUndefined();
    expect([imageToken, stopTokens]).toEqual([257152, [1]]);
  });

  test('of PaliGemma 2 too', () => {
    const { language } = parsePaliGemmaConfig({
      text_config: { model_type: 'gemma2', num_hidden_layers: 4 },
    });
    expect(language).toMatchObject({ logitSoftcap: 30, vocabulary: 256000 });
    expect(language.tower).toMatchObject({
      ...{ width: 2304, heads: 8, keyHeads: 4, scoreScale: 256 ** -0.5, scoreSoftcap: 50 },
      windows: [4096, undefined, 4096, undefined],
    });
    const { language: none } = parsePaliGemmaConfig({
      text_config: { model_type: 'gemma2', attn_logit_softcapping: null, final_logit_softcapping: null },
    });
    expect([none.logitSoftcap, none.tower.scoreSoftcap]).toEqual([undefined, undefined]);
  });

  test.each<[string, object]>([
    ['model_type', { text_config: { model_type: 'llama' } }],
    ['use_bidirectional_attention', { text_config: { use_bidirectional_attention: false } }],
    ['hidden_activation', { text_config: { model_type: 'gemma2', hidden_activation: 'relu' } }],
    [
      'layer_types',
      { text_config: { model_type: 'gemma2', num_hidden_layers: 1, layer_types: ['chunked'] } },
    ],
    ['vision_config: "model_type"', { vision_config: { model_type: 'clip_vision_model' } }],
  ])('names what it does not know: %s', (message, changes) => {
    expect(() => parsePaliGemmaConfig(changes)).toThrow(message);
  });
});
