// SmolVLM's folders and files: two pictures against transformers, inputs as tensors, checkpoints, what is refused.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { samplesFrom } from '../../../src/cli/tensors.ts';
import {
  type ImageInput,
  loadModel,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { runWithCache, runWithHooks, sweep } from '../../../src/patching/index.ts';
import { fileSource, nodeFolder } from '../../../src/platform/node/files.ts';
import { asFloat32, type HostTensor, readJson, readTensors } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { type FolderFiles, folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

const TINY = nodeFolder(fixture('smolvlm-tiny'));
const SIDE = 32;

let model: VisionLanguageModel;
let sample: Sample;
let logits: Float32Array;
beforeAll(async () => {
  model = await loadFixtureModel('smolvlm-tiny');
  sample = (await Golden.open('smolvlm-tiny')).sample('case3', 'clean');
  logits = (await runWithHooks(model, [sample], {}))[0] as Float32Array;
});

async function altered(files: FolderFiles): Promise<VisionLanguageModel> {
  return loadModel(await testGpu(), folderWith(files, TINY));
}

async function expectSameLogits(other: VisionLanguageModel): Promise<void> {
  const [own] = await runWithHooks(other, [sample], {});
  other.destroy();
  expectSameBits(own as Float32Array, logits);
}

async function tensorsOf(path: string): Promise<Map<string, HostTensor>> {
  const file = await fileSource(fixture(path));
  const tensors = await readTensors(file);
  await file.close();
  return tensors;
}

describe('two pictures of different size in one prompt', () => {
  let tensors: Map<string, HostTensor>;
  let pair: Sample;
  const values = (name: string) => asFloat32(tensors.get(name) as HostTensor, name);
  beforeAll(async () => {
    tensors = await tensorsOf('smolvlm-two/golden.safetensors');
    const pixels = values('pixel_values');
    const image = (first: number, rows: number, columns: number): ImageInput => ({
      data: pixels.subarray(first * 3 * SIDE ** 2, (first + 4) * 3 * SIDE ** 2),
      ...{ height: SIDE, width: SIDE },
      tiles: { rows, columns, overview: 'last' },
    });
    const ids = Array.from(tensors.get('input_ids')?.data as ArrayLike<number>, Number);
    pair = { images: [image(0, 1, 3), image(4, 3, 1)], ids };
  });

  test('activations, logits and answer are those of transformers', async () => {
    const names = ['vision.hook_out', 'connector.hook_out', 'language.hook_out'];
    const { logits: found, cache } = await runWithCache(model, [pair], { names });
    for (const name of names) {
      const { shape } = tensors.get(name) as HostTensor;
      expect(cache.get(name).shape).toEqual([1, ...shape]);
      expectClose(await cache.read(name), values(name), { ofMax: GOLDEN, name, shape });
    }
    cache.release();
    expectClose(found?.[0] ?? [], values('logits'), { ofMax: GOLDEN });
    const { generated_ids } = JSON.parse(readFileSync(fixture('smolvlm-two/case.json'), 'utf8'));
    const [answer] = await model.generate([pair], { maxNewTokens: generated_ids.length });
    expect(answer?.ids).toEqual(generated_ids);
  });

  test('a file does not say which tiles are of one picture, and need not', async () => {
    const ids = tensors.get('input_ids') as HostTensor;
    const { samples } = samplesFrom(new Map([...tensors, ['input_ids', ids]]), 'x', '', model);
    expect(samples[0]?.images).toHaveLength(1);
    const [one] = await runWithHooks(model, samples, {});
    const [two] = await runWithHooks(model, [pair], {});
    expectSameBits(one as Float32Array, two as Float32Array);
  });
});

describe('inputs as tensors', () => {
  const tensorsFor = (samples: readonly Sample[]) => {
    const length = Math.max(...samples.map(({ ids }) => ids.length));
    const padded = samples.map(({ ids }) => [...new Array<number>(length - ids.length).fill(2), ...ids]);
    const integers = (rows: number[][]): HostTensor => ({
      ...{ dtype: 'I32', shape: [rows.length, length] },
      data: Int32Array.from(rows.flat()),
    });
    const written = model.tensors
      .write(samples)
      .map(({ name, dtype = 'F32', shape, data }) => [name, { dtype, shape, data } as HostTensor] as const);
    return new Map<string, HostTensor>([
      ...written,
      ['input_ids', integers(padded)],
      [
        'attention_mask',
        integers(samples.map(({ ids }) => padded[0]?.map((_, p) => Number(p >= length - ids.length)) ?? [])),
      ],
    ]);
  };

  test('what is written is read again, without the tiles that fill up', async () => {
    const golden = await Golden.open('smolvlm-tiny');
    const samples = [sample, golden.sample('case0', 'clean')];
    const tensors = tensorsFor(samples);
    expect(model.tensors.names).toEqual(['pixel_values', 'pixel_attention_mask']);
    expect(tensors.get('pixel_values')?.shape).toEqual([2, 4, 3, SIDE, SIDE]);
    const read = samplesFrom(tensors, 'x', '', model).samples;
    expect(read.map(({ images }) => images[0]?.data.length)).toEqual(
      [1, 4].map((tiles) => tiles * 3 * SIDE ** 2),
    );
    const expected = await runWithHooks(model, samples, {});
    const found = await runWithHooks(
      model,
      read.map(({ images, ids }) => ({ images, ids })),
      {},
    );
    found.forEach((row, i) => {
      expectSameBits(row, expected[i] as Float32Array);
    });
  });

  test('a mask that leaves out part of a tile, other shapes and videos are refused', () => {
    const tensors = tensorsFor([sample]);
    const mask = tensors.get('pixel_attention_mask') as HostTensor & { data: Int32Array };
    const without = { ...mask, data: mask.data.slice().fill(0, 5, 9) } as HostTensor;
    const read = (changed: [string, HostTensor]) =>
      samplesFrom(new Map([...tensors, changed]), 'x', '', model);
    expect(() => read(['pixel_attention_mask', without])).toThrow(/leaves out pixels of tile 0/);
    const flat = { dtype: 'F32', shape: [1, 3, SIDE, SIDE], data: new Float32Array(3 * SIDE ** 2) } as const;
    expect(() => read(['pixel_values', flat])).toThrow(
      /"pixel_values" is \[1, 3, 32, 32\], expected 5 dimensions/,
    );
    expect(() => read(['pixel_values_videos', flat])).toThrow(/videos are not supported/);
  });
});

describe('checkpoints', () => {
  test('modules under another path', async () => {
    const weights = await renamedWeights(TINY, (name) => name.replace(/^model\./, ''));
    await expectSameLogits(await altered({ 'model.safetensors': weights }));
  });

  test.each(['config', 'text_config'])(
    'a head tied by %s is the same as a copy of the embeddings',
    async (where) => {
      const config = (await readJson(TINY, 'config.json')) as { text_config: object };
      const tie = { tie_word_embeddings: true };
      const tied =
        where === 'config'
          ? { ...config, ...tie }
          : { ...config, text_config: { ...config.text_config, ...tie } };
      const weights = await tensorsOf('smolvlm-tiny/model.safetensors');
      const embeddings = weights.get('model.text_model.embed_tokens.weight');
      const copied = await renamedWeights(
        TINY,
        (name) => name,
        new Map([['lm_head.weight', embeddings as HostTensor]]),
      );
      const copy = await altered({ 'model.safetensors': copied });
      const [expected] = await runWithHooks(copy, [sample], {});
      const other = await altered({
        'config.json': tied,
        'model.safetensors': await renamedWeights(TINY, (name) => name.replace('lm_head', 'unused')),
      });
      const [found] = await runWithHooks(other, [sample], {});
      expectSameBits(found as Float32Array, expected as Float32Array);
      for (const made of [copy, other]) made.destroy();
    },
  );

  test.each(['f16', 'bf16', 'int8', 'nf4'] as const)(
    'as %s: a sweep gives the bits that one by one gives',
    async (dtype) => {
      const golden = await Golden.open('smolvlm-tiny');
      const other = await loadFixtureModel('smolvlm-tiny', { dtype });
      const sites = [
        { site: 'vision.hook_mlp_out', layers: [1], positions: [17, 40] },
        { site: 'language.attn.hook_z', layers: [1], positions: [39], heads: true },
      ];
      const job = {
        clean: golden.sample('case0', 'clean'),
        corrupt: golden.sample('case0', 'corrupt'),
        ...{ correct: 317, incorrect: 379, sites },
      };
      const [wavefront] = await sweep(other, [job]);
      const [oneByOne] = await sweep(other, [job], { mode: 'one-by-one' });
      wavefront?.sites.forEach(({ data }, i) => {
        expectSameBits(data, oneByOne?.sites[i]?.data ?? new Float32Array());
      });
      const [found] = await runWithHooks(other, [sample], {});
      // Weights of 11 and 8 bits; what nf4 and int8 make of them, test/models/quantized.test.ts checks.
      const ofMax = { f16: 5e-3, bf16: 5e-2, int8: 2, nf4: 2 }[dtype];
      expectClose(found as Float32Array, logits, { ofMax });
      expect(found).not.toEqual(logits);
      other.destroy();
    },
  );
});

describe('refused, with the setting named', () => {
  test.each<[string, (config: Record<string, object>) => object, RegExp]>([
    [
      'an unknown family',
      (config) => ({ ...config, model_type: 'video_llava' }),
      /"video_llava"; supported are .*smolvlm/,
    ],
    [
      'experts',
      (config) => ({ ...config, text_config: { ...config.text_config, num_local_experts: 8 } }),
      /text_config: "num_local_experts" is 8; mixtures of experts are not supported/,
    ],
    [
      'rotary scaling',
      (config) => ({
        ...config,
        text_config: { ...config.text_config, rope_scaling: { rope_type: 'yarn', factor: 2 } },
      }),
      /rope_scaling: "rope_type" should be .*found "yarn"/,
    ],
    [
      'a pixel shuffle that does not fit',
      (config) => ({ ...config, scale_factor: 3 }),
      /scale_factor 3 does not divide the 4 patches/,
    ],
    [
      'another language model',
      (config) => ({ ...config, text_config: { ...config.text_config, model_type: 'mistral' } }),
      /"model_type" should be one of llama, found "mistral"/,
    ],
  ])('%s', async (_, change, message) => {
    const config = (await readJson(TINY, 'config.json')) as Record<string, object>;
    await expect(altered({ 'config.json': change(config) })).rejects.toMatchObject({
      code: 'config',
      message: expect.stringMatching(message),
    });
  });
});
