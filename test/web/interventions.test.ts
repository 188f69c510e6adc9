// What pins are to the library: every operation, on the batch [clean, corrupt].

import { beforeAll, expect, test } from 'vitest';
import { patchGrids, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { cutEdges, type Intervention, runWithCache, runWithHooks } from '../../src/patching/index.ts';
import { pinnedInterventions } from '../../src/web/engine/interventions.ts';
import type { NewPin, Pin, PinOperation } from '../../src/web/protocol/pins.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';

const Z = 'text_encoder.blocks.1.cross_attn.hook_z';
const FEATURES = 'vision.hook_out';

let model: VisionLanguageModel;
let pair: { clean: Sample; corrupt: Sample };
beforeAll(async () => {
  const golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  pair = { clean: golden.sample('case0', 'clean'), corrupt: golden.sample('case0', 'corrupt') };
});

const made = (...pins: NewPin[]): Promise<Intervention[]> =>
  pinnedInterventions(
    model,
    pair,
    pins.map((pin, id): Pin => ({ ...pin, id, on: true })),
  );

/** Both rows' values [position, …] at a hook point, with interventions at work. */
async function values(hook: string, interventions: Intervention[]): Promise<Float32Array[]> {
  const { cache } = await runWithCache(model, [pair.clean, pair.corrupt], { names: hook, interventions });
  const all = await cache.read(hook);
  cache.release();
  return [all.slice(0, all.length / 2), all.slice(all.length / 2)];
}

const OPERATIONS: readonly [PinOperation, (x: number, s: number, mean: number) => number][] = [
  [{ kind: 'replace' }, (_, s) => s],
  [{ kind: 'zero' }, () => 0],
  [{ kind: 'mean' }, (_, __, mean) => mean],
  [{ kind: 'scale', factor: -1.5 }, (x) => -1.5 * x],
  [{ kind: 'interpolate', share: 0.25 }, (x, s) => 0.75 * x + 0.25 * s],
  [{ kind: 'add', factor: 2 }, (x, s) => x + 2 * s],
];

test.each(OPERATIONS)('%o of heads at positions, in the corrupt run alone', async (operation, result) => {
  const pin: NewPin = { kind: 'edit', hooks: [Z], positions: [3, 5], heads: [1], operation };
  const [clean = new Float32Array(), corrupt = new Float32Array()] = await values(Z, []);
  const [cleanAfter, patched = new Float32Array()] = await values(Z, await made(pin));
  expectSameBits(cleanAfter as Float32Array, clean);
  const length = pair.corrupt.ids.length;
  const heads = model.configs.find(({ name }) => name === 'text_encoder')?.heads as number;
  const size = corrupt.length / length / heads;
  const expected = corrupt.slice();
  for (const position of [3, 5])
    for (let feature = 0; feature < size; feature++) {
      const at = (position * heads + 1) * size + feature;
      let sum = 0;
      for (const run of [clean, corrupt])
        for (let p = 0; p < length; p++) sum += run[(p * heads + 1) * size + feature] as number;
      expected[at] = result(corrupt[at] as number, clean[at] as number, sum / (2 * length));
    }
  // One multiplication and one addition in f32; a mean is summed in another order.
  expectClose(patched, expected, { ofMax: 1e-6 });
});

test('patches of the picture: zero, its mean, or the clean run’s, and no others', async () => {
  const [clean = new Float32Array(), corrupt = new Float32Array()] = await values(FEATURES, []);
  const keys = patchGrids(model, pair.corrupt).flatMap((grid) => grid.keys);
  const width = corrupt.length / (keys.length + 1); // a class token is no patch
  const row = (of: Float32Array, key: number) => of.subarray(key * width, (key + 1) * width);
  const mean = Float32Array.from({ length: width }, (_, column) => {
    let sum = 0;
    for (const key of keys) sum += corrupt[key * width + column] as number;
    return sum / keys.length;
  });
  const patches = [0, 2, 7];
  for (const operation of ['zero', 'mean', 'restore'] as const) {
    const [, patched = new Float32Array()] = await values(
      FEATURES,
      await made({ kind: 'patches', patches, operation }),
    );
    const expected = corrupt.slice();
    for (const patch of patches) {
      const key = keys[patch] as number;
      const put = { zero: new Float32Array(width), mean, restore: row(clean, key) }[operation];
      expected.set(put, key * width);
    }
    expectSameBits(patched, expected);
  }
});

test('cuts are those of cutEdges; what is switched off does nothing', async () => {
  const edges = {
    attention: 'text_encoder.cross_attn',
    from: [1, 2, 3],
    to: [4],
    layers: [0, 2],
    heads: [1],
  };
  const cut: Pin = { kind: 'cut', id: 1, on: true, ...edges };
  const run = (interventions: Intervention[]) =>
    runWithHooks(model, [pair.clean, pair.corrupt], { interventions });
  const [, expected] = await run(cutEdges(model, pair.corrupt, { ...edges, run: 1 }));
  const [, found] = await run(await pinnedInterventions(model, pair, [cut]));
  const [, plain] = await run([]);
  expectSameBits(found as Float32Array, expected as Float32Array);
  expect(found).not.toEqual(plain);
  expect(await pinnedInterventions(model, pair, [{ ...cut, on: false }])).toEqual([]);
});
