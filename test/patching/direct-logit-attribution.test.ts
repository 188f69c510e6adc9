// Direct logit attribution: parts add up; each is, in f64, the product of what Hugging Face's implementation has at a hook point
// with the direction that the logit difference has there, norms frozen.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import {
  directLogitAttribution,
  type LogitAttribution,
  logit,
  logitDifference,
  logitLens,
  probability,
  runWithHooks,
  weighted,
  zero,
} from '../../src/patching/index.ts';
import { activation, dot, layerNorm, type Matrix, mean, slope, toRows } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel, TINY_MODELS } from '../support/golden.ts';
import { vectorOf, type Weights, weightsOf } from '../support/weights.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

const sizeOf = ({ parts }: LogitAttribution) => parts.reduce((sum, { value }) => sum + Math.abs(value), 0);
const sumOf = ({ parts }: LogitAttribution) => parts.reduce((sum, { value }) => sum + value, 0);
const partsOf = ({ parts }: LogitAttribution, name: string) =>
  parts.filter((part) => part.name === name).map(({ value }) => value);

/** Parts are f32 and come out of products that are right to about 1e-6 of the sum of their terms. */
const ADDS_UP = 3e-6;

describe('parts add up', () => {
  const capped = 'paligemma2-tiny';
  test.each(TINY_MODELS.filter((folder) => folder !== 'blip-tiny' && folder !== capped))(
    '%s',
    async (folder) => {
      const golden = await Golden.open(folder);
      const model = await loadFixtureModel(folder);
      const { correct_token: correct, incorrect_token: incorrect } = golden.case('case0');
      const sample = golden.sample('case0', 'clean');
      const metric = logitDifference(correct, incorrect);
      const [found] = (await withoutLeak(model.gpu, () =>
        directLogitAttribution(model, [sample], { metric }),
      )) as [LogitAttribution];
      const [logits] = (await runWithHooks(model, [sample], {})) as [Float32Array];
      expect(found.value).toBe(Math.fround((logits[correct] as number) - (logits[incorrect] as number)));
      expect(Math.abs(found.remainder)).toBeLessThan(ADDS_UP * sizeOf(found));
      expect(found.remainder).toBe(found.value - sumOf(found));
      const { heads, layers } = model.configs.at(-1) as VisionLanguageModel['configs'][number];
      expect(found.parts.filter(({ head }) => head !== undefined)).toHaveLength(heads * layers);
      model.destroy();
    },
  );

  test('to what is capped, where logits are', async () => {
    const golden = await Golden.open(capped);
    const model = await loadFixtureModel(capped);
    const { correct_token: correct } = golden.case('case0');
    const [found] = (await directLogitAttribution(model, [golden.sample('case0', 'clean')], {
      metric: logit(correct),
    })) as [LogitAttribution];
    const { text_config } = JSON.parse(readFileSync(fixture(`${capped}/config.json`), 'utf8')) as {
      text_config: { final_logit_softcapping: number };
    };
    const cap = text_config.final_logit_softcapping;
    expectClose([found.value], [cap * Math.tanh(sumOf(found) / cap)], { atol: ADDS_UP * sizeOf(found) });
    model.destroy();
  });
});

/** The direction g of Σ_c g[c] · y[c], before a norm that is held at `at`: LayerNorm, or RMSNorm. */
function beforeNorm(
  g: ArrayLike<number>,
  at: ArrayLike<number>,
  scale: ArrayLike<number>,
  eps: number,
  rms = false,
): Float64Array {
  const centre = rms ? 0 : mean(at);
  const deviation = Math.sqrt(mean(Array.from(at, (value) => (value - centre) ** 2)) + eps);
  const scaled = Float64Array.from(g, (value, c) => (value * (scale[c] as number)) / deviation);
  const own = rms ? 0 : mean(scaled);
  return scaled.map((value) => value - own);
}

/** g · (W · x) of each head's columns alone. */
function headsOf(g: ArrayLike<number>, z: ArrayLike<number>, weight: Matrix, heads: number): number[] {
  const size = z.length / heads;
  return Array.from({ length: heads }, (_, head) =>
    weight.reduce((sum, row, r) => {
      let product = 0;
      for (let c = head * size; c < (head + 1) * size; c++) product += (row[c] as number) * (z[c] as number);
      return sum + (g[r] as number) * product;
    }, 0),
  );
}

const difference = (weight: Matrix, a: number, b: number) =>
  Float64Array.from(weight[a] as ArrayLike<number>, (value, c) => value - (weight[b]?.[c] as number));

/** Hugging Face's activation at a position. */
function rowAt(golden: Golden, name: string, columns: number, position = -1): Float32Array {
  return toRows(golden.get(`case0/clean/${name}`).data, columns).at(position) as Float32Array;
}

describe.each(['llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let weights: Weights;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    weights = await weightsOf(folder);
  });

  test('each part is what the definition gives, in f64', async () => {
    const { correct_token: correct, incorrect_token: incorrect } = golden.case('case0');
    const { width, heads, headSize, layers } = model.configs.at(-1) as VisionLanguageModel['configs'][number];
    const [found] = (await directLogitAttribution(model, [golden.sample('case0', 'clean')], {
      metric: logitDifference(correct, incorrect),
    })) as [LogitAttribution];
    const at = (name: string, columns = width) => rowAt(golden, `language.${name}`, columns);
    const g = beforeNorm(
      difference(weights('language_model.lm_head.weight'), correct, incorrect),
      at(`blocks.${layers - 1}.hook_resid_post`),
      vectorOf(weights, 'language_model.model.norm.weight'),
      1e-5, // rms_norm_eps of both folders
      true,
    );
    const options = { atol: GOLDEN * sizeOf(found), name: folder };
    expectClose(partsOf(found, 'language.hook_embed'), [dot(g, at('hook_embed'))], options);
    for (let l = 0; l < layers; l++) {
      const block = `language.blocks.${l}`;
      expectClose(partsOf(found, `${block}.hook_mlp_out`), [dot(g, at(`blocks.${l}.hook_mlp_out`))], options);
      const z = at(`blocks.${l}.attn.hook_z`, heads * headSize);
      const weight = weights(`language_model.model.layers.${l}.self_attn.o_proj.weight`);
      expectClose(partsOf(found, `${block}.attn.hook_result`), headsOf(g, z, weight, heads), options);
    }
  });
});

describe('blip-tiny', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let weights: Weights;
  beforeAll(async () => {
    golden = await Golden.open('blip-tiny');
    model = await loadFixtureModel('blip-tiny');
    weights = await weightsOf('blip-tiny');
  });

  test('each part through frozen norms and the line that touches GELU, in f64; the rest is the remainder', async () => {
    const { correct_token: correct, incorrect_token: incorrect } = golden.case('case0');
    const { width, heads, layers } = model.configs.at(-1) as VisionLanguageModel['configs'][number];
    const [found] = (await directLogitAttribution(model, [golden.sample('case0', 'clean')], {
      metric: logitDifference(correct, incorrect),
    })) as [LogitAttribution];
    const eps = 1e-12; // layer_norm_eps
    const decoder = (name: string) => `text_decoder.blocks.${name}`;
    const at = (name: string) => rowAt(golden, decoder(name), width);
    const predictions = 'text_decoder.cls.predictions';
    const vector = (name: string) => vectorOf(weights, name);

    // From the logit difference down: g is its direction in what was last passed.
    const dense = weights(`${predictions}.transform.dense.weight`);
    const denseBias = vector(`${predictions}.transform.dense.bias`);
    const last = at(`${layers - 1}.hook_normalized_resid_post`);
    const hidden = dense.map((row, r) => dot(row, last) + (denseBias[r] as number));
    const after = hidden.map((x) => activation('gelu', x));
    const [headScale, headShift] = ['weight', 'bias'].map((name) =>
      vector(`${predictions}.transform.LayerNorm.${name}`),
    ) as [ArrayLike<number>, ArrayLike<number>];
    const u = difference(weights(`${predictions}.decoder.weight`), correct, incorrect);
    const bias = vector(`${predictions}.bias`);
    const inHidden = beforeNorm(u, after, headScale, eps).map(
      (value, r) => value * slope('gelu', hidden[r] as number),
    );
    let g: Float64Array = Float64Array.from(last, (_, c) =>
      dense.reduce((sum, row, r) => sum + (inHidden[r] as number) * (row[c] as number), 0),
    );
    const constant = dot(u, headShift) + (bias[correct] as number) - (bias[incorrect] as number);
    const expected = new Map([['head.bias', [constant + dot(inHidden, denseBias)]]]);
    for (let l = layers - 1; l >= 0; l--) {
      const layer = `text_decoder.bert.encoder.layer.${l}`;
      const through = (hook: string, module: string) => {
        const norm = (name: string) => vector(`${layer}.${module}.LayerNorm.${name}`);
        const shift = dot(g, norm('bias'));
        g = beforeNorm(g, at(`${l}.${hook}`), norm('weight'), eps);
        return shift;
      };
      expected.set(decoder(`${l}.mlp.bias`), [through('hook_resid_post', 'output')]);
      expected.set(decoder(`${l}.hook_mlp_out`), [dot(g, at(`${l}.hook_mlp_out`))]);
      for (const [attention, hook, module] of [
        ['cross_attn', 'hook_resid_cross', 'crossattention.output'],
        ['attn', 'hook_resid_mid', 'attention.output'],
      ] as const) {
        const shift = through(hook, module);
        expected.set(decoder(`${l}.${attention}.bias`), [
          shift + dot(g, vector(`${layer}.${module}.dense.bias`)),
        ]);
        const z = at(`${l}.${attention}.hook_z`);
        expected.set(
          decoder(`${l}.${attention}.hook_result`),
          headsOf(g, z, weights(`${layer}.${module}.dense.weight`), heads),
        );
      }
    }
    expected.set('text_decoder.hook_embed', [dot(g, rowAt(golden, 'text_decoder.hook_embed', width))]);

    const names = new Set(found.parts.map(({ name }) => name));
    expect([...names].sort()).toEqual([...expected.keys()].sort());
    for (const name of names)
      expectClose(partsOf(found, name), expected.get(name) ?? [], { atol: GOLDEN * sizeOf(found), name });

    // The line leaves gelu(a) − gelu′(a) · a, which goes through the head's norm and matrix.
    const left = hidden.map((x) => activation('gelu', x) - slope('gelu', x) * x);
    const remainder = dot(beforeNorm(u, after, headScale, eps), left);
    expectClose([found.remainder], [remainder], { atol: GOLDEN * sizeOf(found), name: 'remainder' });
    const [whole] = layerNorm([after], headScale, headShift, eps);
    const logits =
      dot(u, whole as ArrayLike<number>) + (bias[correct] as number) - (bias[incorrect] as number);
    expectClose([found.value], [logits], { atol: GOLDEN * Math.abs(logits), name: 'the whole' });
  });
});

describe('options', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
  });

  test('several samples, of other lengths, are what each is alone; weights share out as their sum does', async () => {
    const samples = [golden.sample('case0', 'clean'), golden.sample('case0', 'corrupt')].map((sample, i) => ({
      ...sample,
      ids: sample.ids.slice(0, sample.ids.length - i),
    }));
    const weights = new Float32Array(model.vocabulary);
    weights[3] = 2;
    weights[7] = -1;
    const together = await directLogitAttribution(model, samples, { metric: weighted(weights) });
    for (const [i, sample] of samples.entries()) {
      const alone = await directLogitAttribution(model, [sample], { metric: weighted(weights) });
      expect(together[i]).toEqual(alone[0]);
    }
    const [three] = (await directLogitAttribution(model, samples, { metric: logit(3) })) as [
      LogitAttribution,
    ];
    const [seven] = (await directLogitAttribution(model, samples, { metric: logit(7) })) as [
      LogitAttribution,
    ];
    const sums = three.parts.map(({ value }, i) => 2 * value - (seven.parts[i]?.value as number));
    expectClose(together[0]?.parts.map(({ value }) => value) ?? [], sums, { atol: ADDS_UP * sizeOf(three) });
  });

  test('another position: the logits there', async () => {
    const sample = golden.sample('case0', 'clean');
    const [found] = (await directLogitAttribution(model, [sample], { metric: logit(5), position: 4 })) as [
      LogitAttribution,
    ];
    const topK = model.vocabulary;
    const last = (model.configs.at(-1)?.layers ?? 0) - 1;
    const [lens] = await logitLens(model, [sample], { layers: [last], positions: [4], topK });
    expect(found.value).toBe(lens?.logits[lens.ids.indexOf(5)]);
    expect(Math.abs(found.remainder)).toBeLessThan(ADDS_UP * sizeOf(found));
    await expectNoticeError(
      () => directLogitAttribution(model, [sample], { metric: logit(5), position: 400 }),
      'hook',
      /language: position 400 does not exist/,
    );
  });

  test('a head without its z has no part; a stream that is changed behind heads leaves a remainder', async () => {
    const sample = golden.sample('case0', 'clean');
    const metric = logit(5);
    const [without] = (await directLogitAttribution(model, [sample], {
      metric,
      interventions: [zero({ hook: 'blocks.1.attn.hook_z', heads: [2] })],
    })) as [LogitAttribution];
    const parts = partsOf(without, 'language.blocks.1.attn.hook_result');
    expect(parts[2]).toBe(0);
    expect(parts[1]).not.toBe(0);
    const [changed] = (await directLogitAttribution(model, [sample], {
      metric,
      interventions: [zero({ hook: 'blocks.1.hook_attn_out' })],
    })) as [LogitAttribution];
    const heads = partsOf(changed, 'language.blocks.1.attn.hook_result').reduce((a, b) => a + b, 0);
    expectClose([changed.remainder], [-heads], { atol: ADDS_UP * sizeOf(changed) });
  });

  test('a metric that is no sum is refused', async () => {
    await expectNoticeError(
      () => directLogitAttribution(model, [golden.sample('case0', 'clean')], { metric: probability(5) }),
      'usage',
      /a probability is no sum over parts of the stream/,
    );
  });
});
