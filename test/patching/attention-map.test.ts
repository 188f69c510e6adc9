// Where heads look: maps over the image equal what Hugging Face's patterns say, at places of the picture that are found out by
// painting it.

import { beforeAll, describe, expect, test } from 'vitest';
import type { ImageInput, PatchGrid, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import { patchGrids } from '../../src/models/index.ts';
import {
  attentionMap,
  attentionMapOf,
  attentionToImage,
  cutEdges,
  type MapGrid,
  runWithCache,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError } from './support.ts';

/** Sums of a few f32 values against f64. */
const F32 = 1e-6;

async function open(folder: string): Promise<{ golden: Golden; model: VisionLanguageModel }> {
  return { golden: await Golden.open(folder), model: await loadFixtureModel(folder) };
}

/** Of a golden pattern [head, query, key] the row of a head and query. */
function row(golden: Golden, name: string, head: number, query: number): Float32Array {
  const { shape, data } = golden.get(name);
  const [, queries = 0, keys = 0] = shape;
  return data.slice((head * queries + query) * keys, (head * queries + query + 1) * keys);
}

const values = (from: Float32Array, { keys }: PatchGrid) => keys.map((key) => from[key] as number);

describe.each([
  { folder: 'blip-tiny', attention: 'text_encoder.cross_attn', from: 4 },
  { folder: 'blip-tiny', attention: 'vision.attn', from: 9 },
  { folder: 'llava-tiny', attention: 'language.attn', from: 53 },
  { folder: 'llava-tiny', attention: 'vision.attn', from: 3 },
  { folder: 'gemma3-tiny', attention: 'language.attn', from: 41 },
  { folder: 'qwen2_5_vl-tiny', attention: 'language.attn', from: 62 },
])('$folder, $attention', ({ folder, attention, from }) => {
  test("is Hugging Face's pattern at the patches", async () => {
    const { golden, model } = await open(folder);
    const sample = golden.sample('case0', 'clean');
    const [tower, module] = attention.split('.');
    const name = `case0/clean/${tower}.blocks.1.${module}.hook_pattern`;
    const map = await attentionMap(model, sample, { attention, head: { layer: 1, head: 1 }, from });
    const whole = row(golden, name, 1, from);
    expect(map.grids.map(({ keys }) => keys)).toEqual(
      patchGrids(model, sample, attention).map(({ keys }) => keys),
    );
    for (const grid of map.grids) {
      expect(grid.data).toHaveLength(grid.rows * grid.columns);
      expectClose(grid.data, values(whole, grid), { atol: GOLDEN });
    }
    const seen = map.grids.flatMap((grid) => values(whole, grid));
    const mass = seen.reduce((sum, value) => sum + value, 0);
    const entropy = seen.reduce((sum, a) => sum - (a > 0 ? (a / mass) * Math.log(a / mass) : 0), 0);
    expectClose(
      [map.imageMass, map.entropy],
      [mass, entropy / Math.log(seen.length)],
      // As many values as there are patches, each within the tolerance of a golden.
      { atol: GOLDEN },
    );
  });
});

describe('tiles: a patch sees those of its own', () => {
  test('smolvlm-tiny', async () => {
    const { golden, model } = await open('smolvlm-tiny');
    const sample = golden.sample('case0', 'clean');
    const { shape, data } = golden.get('case0/clean/vision.blocks.1.attn.hook_pattern');
    const [tiles = 0, heads = 0, positions = 0] = shape;
    const [tile, query, head] = [1, 6, 2];
    const from = tile * positions + query;
    const { grids } = await attentionMap(model, sample, {
      attention: 'vision.attn',
      head: { layer: 1, head },
      from,
    });
    const found = new Float32Array(tiles * positions);
    for (const grid of grids)
      grid.keys.forEach((key, i) => {
        found[key] = grid.data[i] as number;
      });
    const start = ((tile * heads + head) * positions + query) * positions;
    const expected = new Float32Array(tiles * positions);
    expected.set(data.subarray(start, start + positions), tile * positions);
    expectClose(found, expected, { atol: GOLDEN });
    // All positions together are the mean of each by itself.
    const all = await attentionToImage(model, sample, { attention: 'vision.attn', layers: [1] });
    const mean = new Float64Array(tiles * positions);
    for (let t = 0; t < tiles; t++)
      for (let q = 0; q < positions; q++)
        for (let k = 0; k < positions; k++)
          mean[t * positions + k]! +=
            (data[((t * heads + head) * positions + q) * positions + k] as number) / (tiles * positions);
    const keys = all.grids.flatMap((grid) => grid.keys);
    expectClose(
      all.data.subarray(head * all.patches, (head + 1) * all.patches),
      keys.map((key) => mean[key] as number),
      { atol: GOLDEN },
    );
  });
});

describe("the vision tower's positions are where the grids say", () => {
  test.each<{ readonly folder: string; readonly merge?: number; readonly patch: number }>([
    { folder: 'blip-tiny', patch: 8 },
    { folder: 'llava-tiny', patch: 14 },
    { folder: 'smolvlm-tiny', patch: 8 },
    { folder: 'llava_next-tiny', patch: 7 },
    { folder: 'gemma3-tiny', patch: 4 },
    { folder: 'qwen2_5_vl-tiny', patch: 4, merge: 2 },
    { folder: 'qwen2_vl-tiny', patch: 4, merge: 2 },
  ])('$folder', async (family) => {
    const { golden, model } = await open(family.folder);
    const sample = golden.sample('case0', 'clean');
    const image = sample.images[0] as ImageInput;
    const grid = patchGrids(model, sample, 'vision.attn')[0] as PatchGrid;
    const place = { row: grid.rows - 1, column: Math.floor(grid.columns / 2) };
    const painted = { ...image, data: painting(image, place, family.patch, grid, family.merge) };
    const hook = 'vision.blocks.0.hook_resid_pre';
    const { cache } = await runWithCache(model, [sample, { ...sample, images: [painted] }], {
      names: hook,
      stopAfter: hook,
    });
    const both = await cache.read(hook);
    cache.release();
    const width = both.length / 2 / model.imagePositions([image]);
    const changed = Array.from({ length: model.imagePositions([image]) }, (_, p) => p).filter((p) =>
      both
        .subarray(p * width, (p + 1) * width)
        .some((value, i) => value !== both[both.length / 2 + p * width + i]),
    );
    expect(changed).toEqual([grid.keys[place.row * grid.columns + place.column]]);
  });
});

/** Pixel values of an image with one patch of its first grid changed. */
function painting(
  { data, patches, tiles, height, width }: ImageInput,
  { row, column }: { readonly row: number; readonly column: number },
  side: number,
  grid: PatchGrid,
  merge = 1,
): Float32Array {
  const painted = data.slice();
  if (patches) {
    // Blocks of merge × merge patches, row by row, and inside them row by row.
    const block = Math.floor(row / merge) * (grid.columns / merge) + Math.floor(column / merge);
    const at = block * merge ** 2 + (row % merge) * merge + (column % merge);
    const size = data.length / (patches.rows * patches.columns);
    return painted.map((value, i) => (Math.floor(i / size) === at ? value + 1 : value));
  }
  const across = Math.floor(width / side);
  const down = Math.floor(height / side);
  // The first grid is that of the whole picture where that is the first tile.
  const single = grid.columns === across;
  const tile = single ? 0 : Math.floor(row / down) * (tiles?.columns ?? 1) + Math.floor(column / across);
  const [top, left] = [(row % down) * side, (column % across) * side];
  const start = (tile + (single || tiles?.overview !== 'first' ? 0 : 1)) * 3 * height * width;
  for (let c = 0; c < 3; c++)
    for (let y = top; y < top + side; y++)
      for (let x = left; x < left + side; x++) painted[start + (c * height + y) * width + x]! += 1;
  return painted;
}

test('every block of a vision tower', async () => {
  const { golden, model } = await open('llava-tiny');
  const sample = golden.sample('case0', 'clean');
  const { blocks, data, heads, patches } = await attentionToImage(model, sample, {
    attention: 'vision.attn',
    from: 3,
  });
  expect(blocks).toEqual(Array.from({ length: model.configs[0]?.layers as number }, (_, layer) => layer));
  expect(data).toHaveLength(blocks.length * heads * patches);
});

describe('numbers and options', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let sample: Sample;
  beforeAll(async () => {
    ({ golden, model } = await open('blip-tiny'));
    const own = golden.sample('case0', 'clean');
    // The picture as the model sees it: 6 × 6 patches of 8 pixels.
    sample = { ...own, images: [{ ...(own.images[0] as ImageInput), view: [0, 0, 48, 48] }] };
  });

  const rows = (query: number) =>
    [0, 1, 2].flatMap((layer) =>
      [0, 1, 2, 3].map((head) =>
        row(golden, `case0/clean/text_encoder.blocks.${layer}.cross_attn.hook_pattern`, head, query).slice(1),
      ),
    );

  test('several heads, several positions, minus the mean of all heads of all layers, a box', async () => {
    const layers = model.configs[1]?.layers;
    expect(layers).toBe(3);
    const heads = [
      { layer: 0, head: 2 },
      { layer: 1, head: 3 },
    ];
    const map = await attentionMap(model, sample, {
      head: heads,
      from: [4, 6],
      minusMean: true,
      box: { box: [8, 8, 24, 20] },
    });
    const mean = (of: readonly ArrayLike<number>[]) =>
      Array.from({ length: 36 }, (_, p) => of.reduce((sum, one) => sum + (one[p] as number), 0) / of.length);
    const all = mean([...rows(4), ...rows(6)]);
    const own = mean([4, 6].flatMap((query) => [rows(query)[2], rows(query)[7]] as Float32Array[]));
    const [grid] = map.grids;
    expectClose(
      grid?.data ?? [],
      own.map((value, p) => value - (all[p] as number)),
      { atol: GOLDEN },
    );
    // Two columns wholly, one row wholly and half of the next.
    const inBox = own.filter((_, p) => [1, 2].includes(p % 6) && Math.floor(p / 6) === 1);
    const halves = own.filter((_, p) => [1, 2].includes(p % 6) && Math.floor(p / 6) === 2);
    const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
    expectClose([map.inside ?? Number.NaN], [(sum(inBox) + sum(halves) / 2) / sum(own)], { atol: GOLDEN });
    expectClose([map.chance ?? Number.NaN], [3 / 36], { atol: F32 });
  });

  test('one pass gives the maps of all heads', async () => {
    const attention = await attentionToImage(model, sample, { from: 4 });
    expect(attention).toMatchObject({ layers: 3, heads: 4, patches: 36, blocks: [0, 1, 2] });
    const head = { layer: 1, head: 0 };
    const alone = await attentionMap(model, sample, { head, from: [4] });
    const taken = attentionMapOf(attention, { head });
    expect(taken).toEqual(alone);
    expectSameBits(taken.grids[0]?.data ?? new Float32Array(), attention.data.slice(4 * 36, 5 * 36));
  });

  test('interventions are at work: patches that are cut get nothing, the others all of it', async () => {
    const head = { layer: 1, head: 2 };
    const gone = [1, 5, 36];
    const interventions = cutEdges(model, sample, {
      attention: 'text_encoder.cross_attn',
      from: gone,
      to: [4, 7],
    });
    const plain = (await attentionMap(model, sample, { head, from: 4 })).grids[0] as MapGrid;
    for (const from of [4, 5]) {
      const [grid] = (await attentionMap(model, sample, { head, from, interventions })).grids as [MapGrid];
      const left = grid.keys.map((key) => !gone.includes(key));
      expect(Array.from(grid.data, (value) => value > 0)).toEqual(from === 4 ? left : left.map(() => true));
    }
    expect(plain.data.every((value) => value > 0)).toBe(true);
  });

  test('of several samples in one pass each has the bits that it has alone', async () => {
    // Of another length: rows and keys are filled up.
    const shorter = { ...sample, ids: sample.ids.slice(0, -2) };
    for (const from of [4, undefined]) {
      const alone = [
        await attentionToImage(model, sample, { from }),
        await attentionToImage(model, shorter, { from }),
      ];
      expect(await attentionToImage(model, [sample, shorter], { from })).toEqual(alone);
    }
  });

  test('what cannot be', async () => {
    const head = { layer: 0, head: 0 };
    const map = (options: Partial<Parameters<typeof attentionMap>[2]>) => () =>
      attentionMap(model, sample, { head, from: 4, ...options });
    await expectNoticeError(
      map({ attention: 'text_encoder.attn' }),
      'hook',
      /no key of text_encoder\.attn is a patch/,
    );
    await expectNoticeError(
      map({ head: { layer: 3, head: 0 } }),
      'hook',
      /block 3 does not exist, there are 3/,
    );
    await expectNoticeError(
      map({ head: { layer: 0, head: 4 } }),
      'hook',
      /there is no head 4 of block 0 among 4 heads/,
    );
    await expectNoticeError(map({ from: 10 }), 'hook', /query 10 does not exist, there are 10/);
    await expectNoticeError(map({ head: [] }), 'usage', /an empty list/);
    await expectNoticeError(map({ form: 3 } as never), 'usage', /no field "form"/);
    await expectNoticeError(map({ box: { box: [8, 8, 8, 20] } }), 'data', /empty or not inside/);
    await expectNoticeError(
      () =>
        attentionMap(model, golden.sample('case0', 'clean'), { head, from: 4, box: { box: [0, 0, 8, 8] } }),
      'image',
      /the picture of image 0 is not known/,
    );
  });
});
