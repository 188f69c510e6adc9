// Where features of a prompt lie on the picture: a spot is painted on it, and the feature that changes most is one that is said to
// lie there. Attention of the vision tower is off, so that no patch tells others of the spot.

import { expect, test } from 'vitest';
import type { RgbImage } from '../../src/inputs/index.ts';
import { type PatchGrid, Processor, patchGrids } from '../../src/models/index.ts';
import { runWithCache, zero } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { fixture, loadFixtureModel, TINY_MODELS } from '../support/golden.ts';

type Box = readonly [left: number, top: number, right: number, bottom: number];

const SIZE = { width: 120, height: 74 };
/** No two in mirrored places, nor with rows and columns exchanged; all seen where the middle is cut out. */
const SPOTS: readonly Box[] = [
  [88, 8, 108, 22],
  [50, 48, 66, 64],
  [12, 50, 30, 66],
];

function painted(spot?: Box): RgbImage {
  const { width, height } = SIZE;
  const data = new Uint8Array(3 * width * height).fill(90);
  if (spot)
    for (let y = spot[1]; y < spot[3]; y++)
      data.fill(250, 3 * (y * width + spot[0]), 3 * (y * width + spot[2]));
  return { width, height, data };
}

/** Features that another tower attends to stand nowhere in the prompt. */
const IN_PROMPT = TINY_MODELS.filter((folder) => !folder.includes('blip'));

test.each(IN_PROMPT)('%s', async (folder) => {
  const model = await loadFixtureModel(folder);
  const processor = await Processor.load(model, nodeFolder(fixture(folder)));
  const samples = [undefined, ...SPOTS].map((spot) => processor.sample(painted(spot), 'Is it red?'));
  const names = 'language.hook_embed';
  const interventions = model.hooks
    .filter(({ name }) => /^vision\.blocks\.\d+\.hook_attn_out$/.test(name))
    .map(({ name }) => zero({ hook: name }));
  const { cache } = await runWithCache(model, samples, { names, interventions });
  const [, positions = 0, width = 0] = cache.get(names).shape;
  const data = await cache.read(names);
  cache.release();
  const change = (row: number, position: number) => {
    const at = (r: number, c: number) => data[(r * positions + position) * width + c] as number;
    return Math.hypot(...Array.from({ length: width }, (_, c) => at(row, c) - at(0, c)));
  };
  for (const [i, spot] of SPOTS.entries())
    for (const grid of patchGrids(model, samples[i + 1] as (typeof samples)[number])) {
      const changes = grid.keys.map((position) => change(i + 1, position));
      const largest = changes.indexOf(Math.max(...changes));
      const cell = cellOf(grid, largest);
      expect(overlap(cell, spot), `${grid.rows} × ${grid.columns}: [${cell}] and [${spot}]`).toBe(true);
    }
  model.destroy();
});

/** The part of the picture that a grid's cell covers. */
function cellOf({ rows, columns, box }: PatchGrid, index: number): Box {
  const [left, top, right, bottom] = box as Box;
  const [row, column] = [Math.floor(index / columns), index % columns];
  const x = (share: number) => left + (share * (right - left)) / columns;
  const y = (share: number) => top + (share * (bottom - top)) / rows;
  return [x(column), y(row), x(column + 1), y(row + 1)];
}

function overlap(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
