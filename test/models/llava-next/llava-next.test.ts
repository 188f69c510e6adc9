// LLaVA-NeXT and LLaVA-OneVision against what transformers made of small random models.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type ImageInput, loadModel, Processor, patchGrids, type Sample } from '../../../src/models/index.ts';
import { runWithHooks, type SweepJob } from '../../../src/patching/index.ts';
import { nodeFolder } from '../../../src/platform/node/files.ts';
import { readJson } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, type Golden } from '../../support/golden.ts';
import { everySite, expectSameOneByOne, type Opened, testFamily } from '../../support/golden-family.ts';
import { testGpu } from '../../support/gpu.ts';
import { Random } from '../../support/random.ts';

const NEXT = 'llava_next-tiny';
const ONEVISION = 'llava_onevision-tiny';

testFamily(
  {
    folder: NEXT,
    // 15 in one block of the language model, 11 in one of the vision tower.
    activations: 15 + 11,
    // The last block feeds nothing, the class token of tile 0 hardly anything.
    seen: { blocks: 2, positions: [1, 10] },
  },
  (opened) => {
    test('features in the prompt: the whole picture, the grid without its padding, newlines', () => {
      expectFeatures(opened);
      // 37 × 61 pixels in 42 × 42: of six rows of features three would do, and an odd margin leaves one more.
      const image = opened.golden.image('case0', 'clean');
      expect(opened.model.featureGrids(image)).toEqual([
        { rows: 3, columns: 3, first: 0 },
        {
          ...{ rows: 4, columns: 6, first: 9, stride: 7 },
          area: [0, (7 - 8) / 26, 1, (35 - 8) / 26],
        },
      ]);
    });

    test('a window of Mistral is one only where the prompt can be longer', async () => {
      const sample = opened.golden.sample('case2', 'clean');
      const [whole] = await runWithHooks(opened.model, [sample], {});
      const logits = async (sliding_window: number) =>
        logitsOf(NEXT, { 'config.json': await withText(NEXT, { sliding_window }) }, sample);
      expectSameBits(await logits(256), whole as Float32Array);
      expect(
        Math.abs(((await logits(8))[5] as number) - ((whole as Float32Array)[5] as number)),
      ).toBeGreaterThan(1e-3);
    });

    test('LLaMA in place of Mistral', async () => {
      const sample = opened.golden.sample('case3', 'clean');
      const [own] = await runWithHooks(opened.model, [sample], {});
      const text = { model_type: 'llama', sliding_window: undefined };
      expectSameBits(await logitsOf(NEXT, { 'config.json': await withText(NEXT, text) }, sample), own!);
    });

    testFolder(opened, NEXT, {
      'the hub’s': (name) => name.replace(/^vision_tower\./, 'vision_tower.vision_model.'),
      'a state dict of 4.52 to 4.57': (name) =>
        name === 'language_model.lm_head.weight'
          ? 'lm_head.weight'
          : `model.${name
              .replace(/^vision_tower\./, 'vision_tower.vision_model.')
              .replace(/^language_model\.model/, 'language_model')}`,
    });
  },
);

testFamily(
  {
    folder: ONEVISION,
    activations: 15 + 11,
    seen: { blocks: 2, positions: [0, 9] },
  },
  (opened) => {
    test('features in the prompt, scaled down where there are too many', () => {
      expectFeatures(opened);
      const { cases } = opened.golden;
      for (const { id, clean } of cases) {
        const { rows, columns } = opened.model.featureGrids(opened.golden.image(id, 'clean'))[1] ?? {};
        expect({ rows, columns }).toEqual({ rows: clean.feature_rows, columns: clean.feature_columns });
      }
    });

    test('patches in the vision tower and features that are scaled down: one by one the same bits', async () => {
      const { golden, model } = opened;
      const id = 'case1';
      const { correct_token: correct, incorrect_token: incorrect } = golden.case(id);
      const job: SweepJob = {
        ...{ clean: golden.sample(id, 'clean'), corrupt: golden.sample(id, 'corrupt') },
        ...{ correct, incorrect },
        sites: everySite(model, 'vision', [9 * 7, 9 * 8], new Random(5)).slice(0, 6),
      };
      await expectSameOneByOne(model, [job]);
    });

    test('a video in a prompt is refused', async () => {
      const { video_token_index: video } = (await readJson(
        nodeFolder(fixture(ONEVISION)),
        'config.json',
      )) as {
        video_token_index: number;
      };
      const { model, golden } = opened;
      const sample = golden.sample('case3', 'clean');
      const message = new RegExp(`has a video \\(token id ${video}\\); only images are read`);
      const ids = sample.ids.with(0, video);
      await expect(runWithHooks(model, [{ ...sample, ids }], {})).rejects.toThrow(message);
      await expect(model.generate([{ ...sample, ids }])).rejects.toThrow(message);
      expect(() => model.expand([video, 5], sample.images)).toThrow(message);
      const processor = await Processor.load(model, nodeFolder(fixture(ONEVISION)));
      expect(() => processor.prompt('<image><video> Which?', sample.images)).toThrow(message);
    });

    test('a tied head', async () => {
      const tied = await withText(ONEVISION, { tie_word_embeddings: true });
      const untied = await renamedWeights(nodeFolder(fixture(ONEVISION)), (name) =>
        name === 'language_model.lm_head.weight' ? 'unused' : name,
      );
      const logits = await logitsOf(
        ONEVISION,
        { 'config.json': tied, 'model.safetensors': untied },
        opened.golden.sample('case3', 'clean'),
      );
      expect(logits.every(Number.isFinite)).toBe(true);
    });

    const layouts = JSON.parse(readFileSync(fixture(`${ONEVISION}/layouts/names.json`), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const kinds = Object.entries(layouts).filter(([, names]) => typeof names === 'object');
    testFolder(
      opened,
      ONEVISION,
      Object.fromEntries(kinds.map(([kind, names]) => [kind, (name: string) => names[name] as string])),
    );
  },
);

/** As many features of every case's images as transformers' processor makes room for. */
function expectFeatures({ golden, model }: Opened): void {
  for (const { id, clean, image_tokens } of golden.cases) {
    const image = golden.image(id, 'clean');
    expect(model.featureCount(image), id).toBe(image_tokens);
    const { ids } = model.expand(clean.input_ids, [image]);
    expect(ids).toEqual(clean.expanded_input_ids);
    const places = patchGrids(model, { images: [image], ids }).flatMap(({ keys }) => keys);
    expect(new Set(places).size).toBe(places.length);
    expect(places.every((position) => ids[position] === model.imageToken)).toBe(true);
  }
}

async function withText(folder: string, changes: object): Promise<object> {
  const config = (await readJson(nodeFolder(fixture(folder)), 'config.json')) as { text_config: object };
  return { ...config, text_config: { ...config.text_config, ...changes } };
}

async function altered(folder: string, files: Parameters<typeof folderWith>[0]) {
  return loadModel(await testGpu(), folderWith(files, nodeFolder(fixture(folder))));
}

async function logitsOf(
  folder: string,
  files: Parameters<typeof folderWith>[0],
  sample: Sample,
): Promise<Float32Array> {
  const model = await altered(folder, files);
  const [logits] = await runWithHooks(model, [sample], {});
  model.destroy();
  return logits as Float32Array;
}

/** What both have in common beside their numbers. */
function testFolder(
  opened: Opened,
  folder: string,
  layouts: Readonly<Record<string, (name: string) => string>>,
): void {
  const sampleOf = (golden: Golden) => golden.sample('case3', 'clean');

  test.each(Object.keys(layouts))('checkpoint layout: %s', async (kind) => {
    const rename = layouts[kind] as (name: string) => string;
    const weights = await renamedWeights(nodeFolder(fixture(folder)), rename);
    const logits = await logitsOf(folder, { 'model.safetensors': weights }, sampleOf(opened.golden));
    expectClose(logits, opened.golden.get('case3/clean/logits').data, { ofMax: GOLDEN });
  });

  test('several pictures in a prompt: each is what it is alone, its features in its place', async () => {
    const { golden, model } = opened;
    const images = ['case3', 'case0'].map((id) => golden.image(id, 'clean'));
    const ids = [1, model.imageToken as number, 5, model.imageToken as number, 7];
    const both = { images, ids: model.expand(ids, images).ids };
    expect(both.ids).toHaveLength(3 + images.reduce((sum, image) => sum + model.featureCount(image), 0));
    const [logits] = await runWithHooks(model, [both], {});
    const turned = [...images].reverse();
    const [other] = await runWithHooks(model, [{ images: turned, ids: model.expand(ids, turned).ids }], {});
    expect(other).not.toEqual(logits);
    const [again] = await runWithHooks(model, [golden.sample('case1', 'clean'), both].reverse(), {});
    expectSameBits(again as Float32Array, logits as Float32Array);
  });

  test('a picture that is not cut has its features and a newline', async () => {
    const { golden, model } = opened;
    const { data, tiles: _, ...rest } = golden.image('case3', 'clean');
    const tile = data.subarray(0, 3 * rest.height ** 2);
    const image: ImageInput = { ...rest, data: tile, tiles: { rows: 0, columns: 0, overview: 'first' } };
    expect(model.featureCount(image)).toBe(10);
    const { ids } = model.expand([1, model.imageToken as number, 5], [image]);
    const [logits] = await runWithHooks(model, [{ images: [image], ids }], {});
    expect(logits?.every(Number.isFinite)).toBe(true);
  });

  test('a picture whose size is not known, and a prompt without room', async () => {
    const { golden, model } = opened;
    const { picture: _, ...image } = golden.image('case0', 'clean');
    expect(() => model.featureCount(image)).toThrow(/size in pixels is not known/);
    const { images, ids } = golden.sample('case0', 'clean');
    await expect(runWithHooks(model, [{ images, ids: ids.slice(0, -40) }], {})).rejects.toThrow(
      /image tokens/,
    );
  });

  test.each<[object, RegExp]>([
    [{ vision_feature_select_strategy: 'cls' }, /vision_feature_select_strategy/],
    [{ image_grid_pinpoints: [[12]] }, /"image_grid_pinpoints" should be a list of pairs/],
    [{ text_config: { model_type: 'gemma' } }, /"model_type" should be one of/],
    [{ vision_config: { model_type: 'vit' } }, /"model_type" should be one of/],
  ])('%j is refused', async (changes, message) => {
    const config = (await readJson(nodeFolder(fixture(folder)), 'config.json')) as object;
    await expect(altered(folder, { 'config.json': { ...config, ...changes } })).rejects.toThrow(message);
  });
}
