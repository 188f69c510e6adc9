// The logit lens is the model's own norm and head, in f64, of the residual stream that Hugging Face's implementation has after
// every block.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type LogitLens,
  loadLensMaps,
  logitLens,
  runWithCache,
  runWithHooks,
  zero,
} from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  f32ToF16,
  filesFolder,
  type HostTensor,
  readJson,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { activate, layerNorm, linear, type Matrix, rmsNorm, scaling, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { vectorOf, type Weights, weightsOf } from '../support/weights.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

/** A folder with a file of maps. */
function lensFolder(tensors: ReadonlyMap<string, HostTensor>, metadata: Record<string, string>) {
  return filesFolder(new Map([['lens.safetensors', new Blob([writeSafetensors(tensors, metadata)])]]));
}

type Config = { readonly text_config: Readonly<Record<string, number>> };

interface Head {
  readonly folder: string;
  readonly tower: string;
  readonly hook: string;
  head(stream: Matrix, weights: Weights, config: Config): Matrix;
}

const HEADS: readonly Head[] = [
  {
    folder: 'llava-tiny',
    tower: 'language',
    hook: 'hook_resid_post',
    head: (stream, weights, config) =>
      linear(
        rmsNorm(
          stream,
          vectorOf(weights, 'language_model.model.norm.weight'),
          config.text_config.rms_norm_eps as number,
        ),
        weights('language_model.lm_head.weight'),
      ),
  },
  {
    // A norm whose weights are what the scale is more than 1, a head tied to the embeddings, capped logits.
    folder: 'paligemma2-tiny',
    tower: 'language',
    hook: 'hook_resid_post',
    head: (stream, weights, config) => {
      const { final_logit_softcapping: cap } = (
        config as { text_config: { final_logit_softcapping: number } }
      ).text_config;
      const eps = 1e-6; // Gemma2Config's, where the file is silent
      const scale = Array.from(vectorOf(weights, 'language_model.model.norm.weight'), (weight) => 1 + weight);
      const logits = linear(rmsNorm(stream, scale, eps), weights('language_model.model.embed_tokens.weight'));
      return logits.map((row) => Float64Array.from(row, (x) => scaling(x, { scale: 1, cap })));
    },
  },
  {
    // Normalised after: the stream has passed its last norm; the head has one of its own.
    folder: 'blip-tiny',
    tower: 'text_decoder',
    hook: 'hook_normalized_resid_post',
    head: (stream, weights, config) => {
      const prefix = 'text_decoder.cls.predictions';
      const own = (name: string) => vectorOf(weights, `${prefix}.${name}`);
      const dense = linear(stream, weights(`${prefix}.transform.dense.weight`), {
        bias: own('transform.dense.bias'),
      });
      const normalized = layerNorm(
        activate(dense, 'gelu'),
        own('transform.LayerNorm.weight'),
        own('transform.LayerNorm.bias'),
        config.text_config.layer_norm_eps as number,
      );
      return linear(normalized, weights(`${prefix}.decoder.weight`), { bias: own('bias') });
    },
  },
];

describe.each(HEADS)('$folder', ({ folder, tower, hook, head }) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let weights: Weights;
  let config: Config;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    weights = await weightsOf(folder);
    config = (await readJson(nodeFolder(fixture(folder)), 'config.json')) as Config;
  });

  test("every token at every position: Hugging Face's stream through norm and head in f64", async () => {
    const sample = golden.sample('case0', 'clean');
    const tokens = [golden.case('case0').correct_token, 0];
    const topK = model.vocabulary;
    const [lens] = (await logitLens(model, [sample], { topK, tokens })) as [LogitLens];
    const layers = model.configs.at(-1)?.layers ?? 0;
    expect(lens.layers).toEqual(Array.from({ length: layers }, (_, layer) => layer));
    expect(lens.hook).toBe(`${tower}.blocks.*.${hook}`);
    lens.layers.forEach((layer, l) => {
      const { shape, data } = golden.get(`case0/clean/${tower}.blocks.${layer}.${hook}`);
      const stream = toRows(data, shape[1] as number);
      expect(lens.positions).toHaveLength(stream.length);
      const expected = head(stream, weights, config);
      const largest = Math.max(...expected.flatMap((row) => Array.from(row, Math.abs)));
      // The stream is the reference's own f32.
      const atol = GOLDEN * largest;
      expected.forEach((row, position) => {
        const at = l * stream.length + position;
        const ids = lens.ids.subarray(at * topK, (at + 1) * topK);
        const logits = lens.logits.subarray(at * topK, (at + 1) * topK);
        expect(new Set(ids).size).toBe(topK);
        const name = `${folder} block ${layer} position ${position}`;
        expectClose(
          logits,
          Array.from(ids, (id) => row[id] as number),
          { atol, name },
        );
        expect(logits.every((logit, i) => i === 0 || logit <= (logits[i - 1] as number))).toBe(true);
        const top = Math.max(...Array.from(row));
        const total = Array.from(row).reduce((sum, x) => sum + Math.exp(x - top), 0);
        const probabilities = Array.from(ids, (id) => Math.exp((row[id] as number) - top) / total);
        // A logit that is off by atol changes a probability by as much of itself, the sum once more.
        expectClose(lens.probabilities.subarray(at * topK, (at + 1) * topK), probabilities, {
          rtol: 2 * atol,
          name,
        });
        tokens.forEach((token, t) => {
          const place = ids.indexOf(token);
          expect(lens.ranks[at * tokens.length + t], name).toBe(place);
          expect(lens.tokenProbabilities[at * tokens.length + t]).toBe(lens.probabilities[at * topK + place]);
        });
        const norm = Math.hypot(...(stream[position] as Float32Array));
        expectClose([lens.norms[at] as number], [norm], { rtol: GOLDEN });
      });
    });
  });

  test.each(['F32', 'F16'] as const)('linear maps in %s before the head, in f64', async (dtype) => {
    const { width } = model.configs.at(-1) as VisionLanguageModel['configs'][number];
    const sample = golden.sample('case0', 'clean');
    const file = new Random(5);
    const data = (count: number, spread: number) => {
      const values = file.vector(count, { spread });
      return dtype === 'F32' ? { dtype, data: values } : { dtype, data: f32ToF16(values) };
    };
    for (const residual of [true, false]) {
      const tensors = new Map<string, HostTensor>([
        ['0/weight', { ...data(width * width, 0.3), shape: [width, width] } as HostTensor],
        ['0/bias', { ...data(width, 0.3), shape: [width] } as HostTensor],
        ['2/weight', { ...data(width * width, 0.3), shape: [width, width] } as HostTensor],
      ]);
      const maps = await loadLensMaps(model, lensFolder(tensors, { residual: String(residual) }));
      expect(maps.layers).toEqual([0, 2]);
      const topK = model.vocabulary;
      const [lens] = (await logitLens(model, [sample], { maps, topK })) as [LogitLens];
      maps.destroy();
      expect(lens.layers).toEqual([0, 2]);
      lens.layers.forEach((layer, l) => {
        const stream = toRows(golden.get(`case0/clean/${tower}.blocks.${layer}.${hook}`).data, width);
        const values = (name: string) => asFloat32(tensors.get(name) as HostTensor, name);
        const bias = tensors.has(`${layer}/bias`) ? { bias: values(`${layer}/bias`) } : {};
        const mapped = linear(stream, toRows(values(`${layer}/weight`), width), {
          ...bias,
          ...(residual && { residual: stream }),
        });
        const expected = head(mapped, weights, config);
        const largest = Math.max(...expected.flatMap((row) => Array.from(row, Math.abs)));
        for (const [position, row] of expected.entries()) {
          const at = (l * stream.length + position) * topK;
          expectClose(
            lens.logits.subarray(at, at + topK),
            Array.from(lens.ids.subarray(at, at + topK), (id) => row[id] as number),
            { atol: GOLDEN * largest, name: `${folder} block ${layer} position ${position}` },
          );
        }
      });
    }
  });

  test('after the last block it is the answer, bit for bit', async () => {
    const samples = [golden.sample('case1', 'corrupt'), golden.sample('case0', 'clean')];
    const lenses = await logitLens(model, samples, { topK: model.vocabulary });
    const logits = await runWithHooks(model, samples, {});
    lenses.forEach((lens, i) => {
      const at = (lens.layers.length * lens.positions.length - 1) * lens.topK;
      const own = new Float32Array(model.vocabulary);
      for (let k = 0; k < lens.topK; k++) own[lens.ids[at + k] as number] = lens.logits[at + k] as number;
      expectSameBits(own, logits[i] as Float32Array);
    });
  });
});

describe('options', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let sample: Sample;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
    sample = golden.sample('case0', 'clean');
  });

  test('some layers and positions, in their order, are those of all', async () => {
    const [all] = (await logitLens(model, [sample], { tokens: [7] })) as [LogitLens];
    const some = { layers: [2, 0], positions: [53, 4, 30], tokens: [7], topK: 3 };
    const [few] = (await withoutLeak(model.gpu, () => logitLens(model, [sample], some))) as [LogitLens];
    few.layers.forEach((layer, l) => {
      few.positions.forEach((position, p) => {
        const [at, from] = [l * 3 + p, layer * all.positions.length + position];
        expect([...few.ids.subarray(3 * at, 3 * at + 3)]).toEqual([
          ...all.ids.subarray(5 * from, 5 * from + 3),
        ]);
        expect(few.ranks[at]).toBe(all.ranks[from]);
        expect(few.tokenProbabilities[at]).toBe(all.tokenProbabilities[from]);
        expect(few.norms[at]).toBe(all.norms[from]);
      });
    });
  });

  test('a small memory budget: blocks of a few positions, the same bits', async () => {
    const whole = await logitLens(model, [sample], { tokens: [3] });
    // An eighth of three quarters of it holds the logits of about 6 of 54 positions.
    const bytes = 6.2 * 4 * model.vocabulary * 8;
    const gpu = await testGpu({ memoryBudget: Math.max(bytes / 0.75, 8 * 1024 * 1024) });
    const small = await loadFixtureModel('llava-tiny', { gpu });
    expect(await logitLens(small, [sample], { tokens: [3] })).toEqual(whole);
  });

  test('interventions are at work, and what they leave is read', async () => {
    const hook = 'language.blocks.1.hook_resid_post';
    const interventions = [zero({ hook, positions: [20] })];
    const [lens] = (await logitLens(model, [sample], { interventions })) as [LogitLens];
    const [without] = (await logitLens(model, [sample])) as [LogitLens];
    const at = (layer: number, position: number) => layer * lens.positions.length + position;
    expect(lens.norms[at(1, 20)]).toBe(0);
    expect(lens.norms[at(1, 19)]).toBe(without.norms[at(1, 19)]);
    expect(lens.norms[at(2, 53)]).not.toBe(without.norms[at(2, 53)]);
    const { cache } = await runWithCache(model, [sample], {
      interventions,
      names: 'language.blocks.3.hook_resid_post',
    });
    const values = await cache.read('language.blocks.3.hook_resid_post');
    cache.release();
    const width = values.length / lens.positions.length;
    expectClose(
      lens.norms.subarray(at(3, 0)),
      toRows(values, width).map((row) => Math.hypot(...(row as Float32Array))),
      { rtol: 1e-6 }, // sums of 48 squares in f32
    );
  });

  test('files of maps that do not fit', async () => {
    const tensor = (...shape: number[]): HostTensor => ({
      dtype: 'F32',
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
    });
    const load = (tensors: Record<string, HostTensor>, metadata: Record<string, string>) => () =>
      withoutLeak(model.gpu, () =>
        loadLensMaps(model, lensFolder(new Map(Object.entries(tensors)), metadata)),
      );
    const width = model.configs.at(-1)?.width as number;
    const good = { '1/weight': tensor(width, width) };
    const residual = { residual: 'true' };
    for (const [make, message] of [
      [
        load(good, {}),
        /lens\.safetensors: expected the metadata "residual" to be "true" or "false", found undefined/,
      ],
      [load({ '4/weight': tensor(width, width) }, residual), /"4\/weight" is no map: .* for blocks 0 to 3/],
      [load({ weight: tensor(width, width) }, residual), /"weight" is no map/],
      [load({}, residual), /holds no maps/],
      [load({ '1/bias': tensor(width) }, residual), /"1\/weight"/],
      [load({ '1/weight': tensor(width, 3) }, residual), /expected a matrix .* found "1\/weight" \[\d+, 3\]/],
      [load({ ...good, '1/bias': tensor(3) }, residual), /expected a vector .* found "1\/bias" \[3\]/],
    ] as const)
      await expectNoticeError(make, 'weights', message);
    const maps = await loadLensMaps(model, lensFolder(new Map(Object.entries(good)), residual));
    await expectNoticeError(
      () => logitLens(model, [sample], { maps, layers: [0, 1] }),
      'hook',
      /has no map for block 0, only for 1/,
    );
    maps.destroy();
  });

  test('what cannot be', async () => {
    const lens = (options: Parameters<typeof logitLens>[2]) => () => logitLens(model, [sample], options);
    await expectNoticeError(
      lens({ tower: 'vision' }),
      'hook',
      /vision has no head, so no lens: .* only language has one/,
    );
    await expectNoticeError(lens({ layers: [4] }), 'hook', /block 4 does not exist, there are 4/);
    await expectNoticeError(lens({ positions: [54] }), 'hook', /position 54 does not exist, there are 54/);
    await expectNoticeError(lens({ tokens: [486] }), 'usage', /tokens\[0\] is 486/);
    await expectNoticeError(lens({ topK: 0 }), 'usage', /topK is 0/);
    const broken = {
      hook: 'language.blocks.0.hook_resid_post',
      wgsl: 'return select(value, bitcast<f32>(0x7fc00000u + position * 0u), position == 9u);',
    };
    await expectNoticeError(
      () => logitLens(model, [sample], { hooks: [broken] }),
      'not-finite',
      /language\.blocks\.0\.hook_resid_post: at position 9/,
    );
  });
});
