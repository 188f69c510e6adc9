// Several images and tiles in one prompt, and what runs share of them.

import { beforeAll, describe, expect, test } from 'vitest';
import {
  type FeaturePlace,
  featurePlaces,
  type ImageInput,
  ModelRun,
  patchGrids,
  placeName,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { imageText } from '../../../src/models/smolvlm/image-text.ts';
import { planSweep, runWithCache, runWithHooks, type SweepJob, sweep } from '../../../src/patching/index.ts';
import { expectSameBits } from '../../support/close.ts';
import { Golden, loadFixtureModel } from '../../support/golden.ts';
import { everySite, expectSameOneByOne } from '../../support/golden-family.ts';
import { Random } from '../../support/random.ts';

const IMAGE = 421;
const FEATURES = 4;
const PATCHES = 16;

let golden: Golden;
let model: VisionLanguageModel;
/** 1 × 3 tiles and the whole picture; another of the same size; the picture alone; 3 × 1 and the whole. */
let wide: ImageInput;
let other: ImageInput;
let single: ImageInput;
let high: ImageInput;
beforeAll(async () => {
  golden = await Golden.open('smolvlm-tiny');
  model = await loadFixtureModel('smolvlm-tiny');
  wide = golden.image('case0', 'clean');
  other = golden.image('case0', 'corrupt');
  single = golden.image('case3', 'clean');
  high = golden.image('case2', 'clean');
});

function prompt(...images: readonly ImageInput[]): Sample {
  const ids = images.flatMap((image) => [215, ...new Array<number>(model.featureCount(image)).fill(IMAGE)]);
  return { images, ids: [1, 69, ...ids, 300, 42] };
}

async function featuresOf(sample: Sample): Promise<{ shape: readonly number[]; values: Float32Array }> {
  const name = 'connector.hook_out';
  const { cache } = await runWithCache(model, [sample], { names: [name] });
  const { shape } = cache.get(name);
  const values = await cache.read(name);
  cache.release();
  return { shape, values };
}

test('positions, features and grids are counted per image', () => {
  expect(model.imagePositions([wide, single])).toBe(5 * PATCHES);
  expect([wide, single].map((image) => model.featureCount(image))).toEqual([16, 4]);
  expect(model.featureGrids(single)).toEqual([{ rows: 2, columns: 2, first: 0 }]);
  expect(model.featureGrids(wide)).toEqual([
    { rows: 2, columns: 6, first: 0, tile: { rows: 2, columns: 2 } },
    { rows: 2, columns: 2, first: 12 },
  ]);
  const sample = prompt(single, wide);
  const places = featurePlaces(model, sample);
  const names = sample.ids.flatMap((id, p) =>
    id === IMAGE ? [placeName(places.get(p) as FeaturePlace)] : [],
  );
  expect(names).toHaveLength(20);
  expect(names[3]).toBe('image 0, row 1, column 1');
  expect(names[4]).toBe('image 1, tile 0, row 0, column 0');
  expect(names[4 + 6]).toBe('image 1, tile 1, row 1, column 0');
  expect(names[19]).toBe('image 1, tile 3, row 1, column 1');
  // All tiles of a picture are one grid on it: the second row begins with the third feature of the first tile.
  const first = sample.ids.indexOf(215, 3) + 1;
  const [, grid] = patchGrids(model, sample);
  expect(grid?.keys.slice(0, 8).map((key) => key - first)).toEqual([0, 1, 4, 5, 8, 9, 2, 3]);
});

test("the text of an image marks its tiles' rows and columns, then the whole picture", () => {
  const f = '<fake_token_around_image>';
  expect(imageText({}, 2)).toBe(`${f}<global-img><image><image>${f}`);
  expect(imageText({ tiles: { rows: 0, columns: 0, overview: 'last' } }, 1)).toBe(
    `${f}<global-img><image>${f}`,
  );
  expect(imageText({ tiles: { rows: 2, columns: 2, overview: 'last' } }, 1)).toBe(
    `${f}<row_1_col_1><image>${f}<row_1_col_2><image>\n${f}<row_2_col_1><image>${f}<row_2_col_2><image>\n\n` +
      `${f}<global-img><image>${f}`,
  );
});

test('image tokens that are not expanded are refused: marks belong between features', () => {
  expect(() => model.expand([1, IMAGE, 42], [wide])).toThrow(/1 times; expected 16 times/);
  expect(() => model.expand([1, 42], [])).toThrow(/at least one image with each prompt, found 0/);
  const { ids } = prompt(wide, single);
  expect(model.expand(ids, [wide, single]).ids).toEqual(ids);
});

test('features of several images are those that each has alone, in the order of the prompt', async () => {
  const { shape, values } = await featuresOf(prompt(single, wide));
  expect(shape).toEqual([1, 5, FEATURES, 32]);
  const alone = await Promise.all([single, wide].map((image) => featuresOf(prompt(image))));
  expectSameBits(values, Float32Array.from(alone.flatMap((one) => [...one.values])));
  // Another order is another prompt.
  const [a] = await runWithHooks(model, [prompt(single, wide)], {});
  const [b] = await runWithHooks(model, [prompt(wide, single)], {});
  expect(a).not.toEqual(b);
});

test('samples with other numbers of tiles stand in one cache, filled up with zeros', async () => {
  const name = 'vision.blocks.1.attn.hook_pattern';
  const { cache } = await runWithCache(model, [prompt(single), prompt(wide)], { names: [name] });
  const values = await cache.read(name);
  expect(cache.get(name).shape).toEqual([2, 4, 3, PATCHES, PATCHES]);
  const size = 3 * PATCHES * PATCHES;
  const sum = (from: number, to: number) =>
    values.subarray(from * size, to * size).reduce((a, b) => a + b, 0);
  expect(sum(0, 1)).toBeCloseTo(3 * PATCHES, 3);
  expect(sum(1, 4)).toBe(0);
  expect(sum(4, 8)).toBeCloseTo(4 * 3 * PATCHES, 3);
  cache.release();
});

describe('what runs share', () => {
  /** Rows after the last block of a tower, and logits of each run. */
  async function walk(runs: readonly ModelRun[], shared?: readonly ImageInput[]) {
    const rows = new Map<string, number>();
    const logits = await model.gpu.work(async (w) => {
      const features = shared && (await model.encodeImages(w, shared));
      const probe = {
        wants: () => false,
        forks: () => [],
        visit: () => {},
        passed: (name: string, count: number) => void rows.set(name, count),
      };
      const { tensor, rowOf } = await model.forward(w, runs, { probe, ...(features ? { features } : {}) });
      const [values] = await w.read(tensor);
      return runs.map((run) => {
        const first = rowOf(run) * tensor.columns;
        return (values as Float32Array).slice(first, first + tensor.columns);
      });
    });
    return {
      logits,
      vision: rows.get('vision.blocks.1.hook_resid_post'),
      language: rows.get('language.blocks.2.hook_resid_post'),
    };
  }

  async function expectAlone(runs: readonly ModelRun[], logits: readonly Float32Array[]): Promise<void> {
    for (const [i, run] of runs.entries()) {
      const alone = await walk([new ModelRun(run.sample)]);
      expectSameBits(logits[i] as Float32Array, alone.logits[0] as Float32Array);
    }
  }

  test('a derived run has rows for the tiles of the image that differs', async () => {
    const base = new ModelRun(prompt(single, wide));
    const runs = [base, new ModelRun(prompt(single, other), base)];
    const { logits, vision, language } = await walk(runs);
    await expectAlone(runs, logits);
    expect(vision).toBe((5 + 4) * PATCHES);
    // From the first feature of the second image on.
    const { ids } = base.sample;
    expect(language).toBe(2 * ids.length - ids.lastIndexOf(215) - 1);
  });

  test('samples share the images that they have in common, in whatever prompt', async () => {
    const runs = [prompt(single, wide), prompt(single, other), prompt(single, wide)].map(
      (sample) => new ModelRun(sample),
    );
    const { logits, vision } = await walk(runs);
    await expectAlone(runs, logits);
    expect(vision).toBe((5 + 4) * PATCHES);
  });

  test('features of an earlier walk serve in any combination', async () => {
    const runs = [prompt(single, wide), prompt(wide), prompt(high, single)].map(
      (sample) => new ModelRun(sample),
    );
    const { logits, vision } = await walk(runs, [single, wide, high]);
    await expectAlone(runs, logits);
    expect(vision).toBeUndefined();
  });

  test('every site of both towers gives the same bits one by one, with several images', async () => {
    const random = new Random(3);
    const clean = prompt(single, wide);
    const job: SweepJob = {
      clean,
      corrupt: prompt(single, other),
      correct: 317,
      incorrect: 379,
      // Tiles of the second image, and the language model's positions from its first feature on.
      sites: [
        ...everySite(model, 'vision', [PATCHES, 5 * PATCHES], random),
        ...everySite(model, 'language', [clean.ids.lastIndexOf(215) + 1, clean.ids.length], random),
      ],
    };
    await expectSameOneByOne(model, [job]);
  });

  test('a patch of one tile leaves the rows of all others to the corrupt run', async () => {
    const job = (position: number): SweepJob => ({
      clean: prompt(single, wide),
      corrupt: prompt(single, other),
      correct: 317,
      incorrect: 379,
      sites: [{ site: 'vision.hook_mlp_out', layers: [0], positions: [position] }],
    });
    const { layers } = await planSweep(model, [job(PATCHES + 3)], { controls: false });
    const last = layers.find(({ tower, layer }) => tower === 'vision' && layer === 1);
    expect(last?.rows).toBe((5 + 4 + 1) * PATCHES);
    // The first image is the same in both runs, and its patch changes nothing.
    const [result] = await sweep(model, [job(3)]);
    expect(result?.sites[0]?.data[2]).toBe(0);
  });
});
