// Which keys of a model's attention are patches of the image, and where these lie.

import { expect, test } from 'vitest';
import { type FeatureGrid, type ImageInput, patchGrids } from '../../src/models/index.ts';

const IMAGE = 9;

/** What is read of a model whose images have these features. */
function model(imageAttention: string, featureCount: number, ...grids: FeatureGrid[]) {
  return {
    imageAttention,
    imageEmbedding: 'vision.hook_embed',
    imageToken: IMAGE,
    imagePositions: () => 7,
    featureCount: () => featureCount,
    featureGrids: () => grids,
    visionGrids: () => grids.map((grid) => ({ ...grid, first: 1 })),
  };
}

const image: ImageInput = { data: new Float32Array(), height: 2, width: 2, view: [10, 0, 50, 20] };

test('of cross-attention the features themselves, but for those that lie nowhere', () => {
  const blip = model('text_encoder.cross_attn', 5, { rows: 2, columns: 2, first: 1 });
  expect(patchGrids(blip, { images: [image], ids: [1, 2, 3] })).toEqual([
    { image: 0, rows: 2, columns: 2, keys: [1, 2, 3, 4], box: [10, 0, 50, 20] },
  ]);
});

test("of a prompt the places of the image's tokens, wherever they stand", () => {
  const llava = model('language.attn', 5, { rows: 2, columns: 2, first: 1 });
  const ids = [1, IMAGE, 2, IMAGE, IMAGE, IMAGE, IMAGE, 3];
  const [grid] = patchGrids(llava, { images: [{ ...image, view: undefined as never }], ids });
  expect(grid).toMatchObject({ keys: [3, 4, 5, 6], box: undefined });
});

test('tiles with marks between their rows, and a second image', () => {
  // The whole picture, then its left and right half side by side with a mark after each row.
  const whole = { rows: 1, columns: 2, first: 0 };
  const halves = { rows: 2, columns: 4, first: 2, stride: 5, area: [0, 0.5, 1, 1] } as const;
  const tiled = model('language.attn', 12, whole, halves);
  const ids = [1, ...new Array(12).fill(IMAGE), 2, ...new Array(12).fill(IMAGE), 3];
  expect(patchGrids(tiled, { images: [image, image], ids })).toEqual([
    { image: 0, rows: 1, columns: 2, keys: [1, 2], box: [10, 0, 50, 20] },
    { image: 0, rows: 2, columns: 4, keys: [3, 4, 5, 6, 8, 9, 10, 11], box: [10, 10, 50, 20] },
    { image: 1, rows: 1, columns: 2, keys: [14, 15], box: [10, 0, 50, 20] },
    { image: 1, rows: 2, columns: 4, keys: [16, 17, 18, 19, 21, 22, 23, 24], box: [10, 10, 50, 20] },
  ]);
});
