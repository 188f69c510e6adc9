import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageProcessor } from '../../../src/inputs/index.ts';
import { parseGemma3Config } from '../../../src/models/gemma3/config.ts';
import { featureGrids, imageText } from '../../../src/models/gemma3/images.ts';
import {
  type ImageInput,
  loadModel,
  Processor,
  patchGrids,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { runWithCache, runWithHooks, type SweepJob } from '../../../src/patching/index.ts';
import { fileSource, nodeFolder } from '../../../src/platform/node/files.ts';
import { asFloat32, readJson, readTensors } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, Golden } from '../../support/golden.ts';
import {
  everySite,
  expectSameOneByOne,
  type Opened,
  testFamily,
  testPrompts,
} from '../../support/golden-family.ts';
import { testGpu } from '../../support/gpu.ts';
import { Random } from '../../support/random.ts';

const FOLDER = 'gemma3-tiny';
const IMAGE = 456;
const FEATURES = 16;

// 19 in every block of the language model, 11 in every one of the vision tower.
testFamily({ folder: FOLDER, activations: 4 * 19 + 2 * 11 }, (opened) => {
  test('a step with the cache gives the bits of a pass over prompt and answer', async () => {
    const { model, golden } = opened;
    const sample = golden.sample('case1', 'clean');
    const [answer] = await model.generate([sample], { maxNewTokens: 4, keepLogits: true });
    const { ids = [], logits = [] } = answer ?? {};
    for (const step of [1, 3]) {
      const [expected] = await runWithHooks(
        model,
        [{ ...sample, ids: [...sample.ids, ...ids.slice(0, step)] }],
        {},
      );
      expectSameBits(logits[step] as Float32Array, expected as Float32Array, { name: `step ${step}` });
    }
  });

  test('pan-and-scan: the whole picture and its crops, each a block of its own', async () => {
    const { golden, model } = opened;
    const { shape, data } = golden.get('pan_and_scan/pixel_values');
    const [count, , height, width] = shape as [number, number, number, number];
    const image: ImageInput = {
      ...{ data, height, width },
      tiles: { rows: 1, columns: count - 1, overview: 'first' },
    };
    const sample: Sample = { images: [image], ids: [...golden.get('pan_and_scan/input_ids').data] };
    expect(model.featureCount(image)).toBe(count * FEATURES);
    expect(patchGrids(model, sample)).toHaveLength(count);
    await expectActivations(model, sample, (name) => golden.get(`pan_and_scan/${name}`), [
      ...['language.hook_embed', 'language.hook_out', 'logits'],
    ]);
  });

  testPrompts(FOLDER, opened);

  test('a processor does not pan and scan, whatever the folder says', async () => {
    const folder = nodeFolder(fixture(FOLDER));
    const file = 'preprocessor_config.json';
    const settings = { ...((await readJson(folder, file)) as object), do_pan_and_scan: true };
    const processor = await Processor.load(opened.model, folderWith({ [file]: settings }, folder));
    const picture = { width: 600, height: 300, data: new Uint8Array(3 * 600 * 300) };
    expect(processor.image(picture).tiles).toBeUndefined();
    expect(ImageProcessor.from(settings).process(picture).pixelValues.tiles).toMatchObject({ columns: 2 });
  });

  test('a prompt of a picture that pan-and-scan has cut', async () => {
    const { golden, model } = opened;
    const facts = JSON.parse(readFileSync(fixture(`${FOLDER}/cases.json`), 'utf8')) as {
      pan_and_scan: { text: string; expanded_input_ids: number[] };
    };
    const { text, expanded_input_ids: expected } = facts.pan_and_scan;
    const { shape, data } = golden.get('pan_and_scan/pixel_values');
    const [count, , height, width] = shape as [number, number, number, number];
    const tiles = { rows: 1, columns: count - 1, overview: 'first' } as const;
    const processor = await Processor.load(model, nodeFolder(fixture(FOLDER)));
    expect(processor.prompt(text, [{ data, height, width, tiles }]).ids).toEqual(expected);
  });

  describe('two pictures of different size', () => twoPictures(opened));
});

async function expectActivations(
  model: VisionLanguageModel,
  sample: Sample,
  expected: (name: string) => { shape: readonly number[]; data: Float32Array },
  names: readonly string[],
): Promise<void> {
  const { cache } = await runWithCache(model, [sample], { names });
  for (const name of names) {
    const { shape, data } = expected(name);
    expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
  }
  cache.release();
}

function twoPictures(opened: Opened): void {
  const facts = JSON.parse(readFileSync(fixture(`${FOLDER}/two-pictures.json`), 'utf8')) as {
    generated_ids: number[];
  };
  let tensors: Map<string, { shape: readonly number[]; data: Float32Array }>;
  let sample: Sample;
  beforeAll(async () => {
    const file = await fileSource(fixture(`${FOLDER}/two-pictures.safetensors`));
    const raw = await readTensors(file);
    await file.close();
    tensors = new Map(
      [...raw].map(([name, tensor]) => [
        name,
        {
          shape: tensor.shape,
          data:
            tensor.dtype === 'I32' ? Float32Array.from(tensor.data as Int32Array) : asFloat32(tensor, name),
        },
      ]),
    );
    const { shape, data } = get('pixel_values');
    const [count, , height, width] = shape as [number, number, number, number];
    const images = Array.from({ length: count }, (_, i) => {
      const size = 3 * height * width;
      return { data: data.subarray(i * size, (i + 1) * size), height, width };
    });
    sample = { images, ids: [...get('input_ids').data] };
  });
  const get = (name: string) => tensors.get(name) as { shape: readonly number[]; data: Float32Array };

  test('activations, logits and the answer are those of transformers', async () => {
    const names = [...tensors.keys()].filter((name) => /^(language|logits)/.test(name));
    expect(names).toHaveLength(11);
    await expectActivations(opened.model, sample, get, names);
    const [answer] = await opened.model.generate([sample], { maxNewTokens: 6, keepLogits: true });
    expect(answer?.ids).toEqual(facts.generated_ids);
    const logits = answer?.logits.flatMap((row) => [...row]) ?? [];
    expectClose(logits, get('generate_logits').data, { ofMax: GOLDEN });
  });

  test('files hold them one behind the other', () => {
    const { tensors: forms } = opened.model;
    const [written] = forms.write([sample]);
    expect(written).toMatchObject({ name: 'pixel_values', shape: get('pixel_values').shape });
    expectSameBits(written?.data as Float32Array, get('pixel_values').data);
  });

  test('patches give the same bits one by one, also where the pictures stand elsewhere in the clean prompt', async () => {
    const { model } = opened;
    const [first, second] = sample.images as [ImageInput, ImageInput];
    // One text token moves from before the first picture to behind it: its block begins one earlier.
    const at = sample.ids.indexOf(IMAGE);
    const moved = [...sample.ids.slice(0, at - 2), ...sample.ids.slice(at - 1, at + FEATURES)];
    const ids = [...moved, sample.ids[at - 2] as number, ...sample.ids.slice(at + FEATURES)];
    expect(ids).toHaveLength(sample.ids.length);
    const tokens = { correct: 300, incorrect: 301 };
    // Behind the first layer that sees beyond its window all positions differ.
    const sites = everySite(model, 'language', [at, ids.length], new Random(5)).map((site) => ({
      ...site,
      layers: [2],
    }));
    const jobs: SweepJob[] = [
      { clean: sample, corrupt: { images: [second, first], ids: sample.ids }, ...tokens, sites },
      { clean: { images: sample.images, ids }, corrupt: sample, ...tokens, sites },
    ];
    await expectSameOneByOne(model, jobs);
  });
}

test('the text of a picture, whole and cut', () => {
  const one = '\n\n<start_of_image><image_soft_token><image_soft_token><end_of_image>\n\n';
  expect(imageText({}, 2)).toBe(one);
  expect(imageText({ tiles: { rows: 0, columns: 0, overview: 'first' } }, 2)).toBe(one);
  expect(imageText({ tiles: { rows: 2, columns: 1, overview: 'first' } }, 2)).toBe(
    `Here is the original image ${one} and here are some crops to help you see better ${one} ${one}`,
  );
});

test('features lie on the whole picture and on its crops, of which the last may be smaller', () => {
  const image = { ...{ data: new Float32Array(), height: 4, width: 4 }, picture: { height: 50, width: 101 } };
  expect(featureGrids(image, 2)).toEqual([{ rows: 2, columns: 2, first: 0 }]);
  const wide = featureGrids({ ...image, tiles: { rows: 1, columns: 2, overview: 'first' } }, 2);
  expect(wide.map(({ first, area }) => ({ first, area }))).toEqual([
    { first: 0, area: undefined },
    { first: 4, area: [0, 0, 51 / 101, 1] },
    { first: 8, area: [51 / 101, 0, 1, 1] },
  ]);
  const high = featureGrids({ ...image, tiles: { rows: 2, columns: 1, overview: 'first' } }, 2);
  expect(high.map(({ area }) => area).slice(1)).toEqual([
    [0, 0, 1, 0.5],
    [0, 0.5, 1, 1],
  ]);
});

describe('layouts of the checkpoint', () => {
  const folder = nodeFolder(fixture(FOLDER));

  // 4.52: what 4.52 to 4.57 have in memory, and a state dict holds; their save_pretrained writes the hub's names.
  test.each(['hub', '4.52'])("%s's", async (which) => {
    const layouts = (await readJson(folder, 'layouts/names.json')) as Record<string, Record<string, string>>;
    const rename = (name: string) => layouts[which]?.[name] as string;
    const golden = await Golden.open(FOLDER);
    const files = { 'model.safetensors': await renamedWeights(folder, rename) };
    const model = await loadModel(await testGpu(), folderWith(files, folder));
    const [logits] = await runWithHooks(model, [golden.sample('case1', 'clean')], {});
    model.destroy();
    expectClose(logits as Float32Array, golden.get('case1/clean/logits').data, { ofMax: GOLDEN });
  });
});

describe('config.json', () => {
  const config = (file: string) => JSON.parse(readFileSync(fixture(`${FOLDER}/${file}`), 'utf8')) as object;

  test.each(['4.50', '4.57', '5'])('in the form of transformers %s says the same', (form) => {
    const [mine, expected] = [`layouts/config-${form}.json`, 'config.json'].map((file) =>
      parseGemma3Config(config(file)),
    );
    // The shortest form leaves out how long prompts may be.
    const { maxPositions } = mine?.language ?? {};
    expect(mine).toEqual({ ...expected, language: { ...expected?.language, maxPositions } });
  });

  test('of Gemma 3 4B leaves out what the classes have', () => {
    const { language, vision, side, pool, imageToken } = parseGemma3Config({
      mm_tokens_per_image: 256,
      text_config: {
        ...{ hidden_size: 2560, intermediate_size: 10240, model_type: 'gemma3_text', num_hidden_layers: 34 },
        ...{ rope_scaling: { factor: 8, rope_type: 'linear' }, sliding_window: 1024 },
      },
      vision_config: {
        ...{
          hidden_size: 1152,
          image_size: 896,
          intermediate_size: 4304,
          patch_size: 14,
          num_hidden_layers: 27,
        },
        ...{ model_type: 'siglip_vision_model', num_attention_heads: 16 },
      },
    });
    expect(vision.tower).toMatchObject({ heads: 16, activation: 'gelu_pytorch_tanh' });
    expect({ side, pool, imageToken }).toEqual({ side: 16, pool: 4, imageToken: 262144 });
    expect(language).toMatchObject({
      vocabulary: 262208,
      tiedHead: true,
      logitSoftcap: undefined,
      eps: 1e-6,
    });
    const { tower } = language;
    expect(tower).toMatchObject({ heads: 8, keyHeads: 4, headSize: 256, scoreScale: 1 / 16 });
    expect(tower.scoreSoftcap).toBeUndefined();
    expect(tower.windows?.slice(3, 7)).toEqual([1024, 1024, undefined, 1024]);
    expect(tower.rotaries?.slice(4, 6)).toEqual([
      { theta: 10000, factor: 1 },
      { theta: 1e6, factor: 8 },
    ]);
  });

  test.each<[string, object]>([
    ['mm_tokens_per_image 5', { mm_tokens_per_image: 5 }],
    ['use_bidirectional_attention', { text_config: { use_bidirectional_attention: true } }],
    ['rope_type', { text_config: { rope_scaling: { rope_type: 'yarn', factor: 8 } } }],
    ['factor', { text_config: { rope_scaling: { rope_type: 'linear' } } }],
    ['layer_types', { text_config: { num_hidden_layers: 2, layer_types: ['full_attention'] } }],
  ])('names what it does not know: %s', (message, changes) => {
    expect(() =>
      parseGemma3Config({ ...changes, vision_config: { image_size: 896, patch_size: 14 } }),
    ).toThrow(message);
  });
});
