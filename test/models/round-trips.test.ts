// How often the host speaks to the device. In a browser each wait is a turn through other processes, in Firefox the next tick of a
// 100 ms timer, and each write of a buffer a message.

import { expect, test, vi } from 'vitest';
import { Readback } from '../../src/gpu/readback.ts';
import { loadModel, type VisionLanguageModel } from '../../src/models/index.ts';
import { sweep } from '../../src/patching/index.ts';
import { folderWith } from '../support/folder.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { alteredConfig, TINY } from './llava-support.ts';

const golden = await Golden.open('llava-tiny');
const { id } = golden.cases[0]!;
const clean = golden.sample(id, 'clean');

/** Waits, writes and dispatches of what `body` does. */
async function counted(body: () => Promise<unknown>) {
  const gpu = await testGpu();
  const { queue } = gpu.device;
  const waits = [vi.spyOn(Readback.prototype, 'map'), vi.spyOn(queue, 'onSubmittedWorkDone')];
  const writes = vi.spyOn(queue, 'writeBuffer');
  const { dispatches } = gpu.statistics;
  await body();
  const counts = {
    waits: waits.reduce((sum, spy) => sum + spy.mock.calls.length, 0),
    writes: writes.mock.calls.length,
    dispatches: gpu.statistics.dispatches - dispatches,
  };
  for (const spy of [...waits, writes]) spy.mockRestore();
  return counts;
}

/** What a further token costs. */
async function perToken(model: VisionLanguageModel) {
  const generate = (maxNewTokens: number) =>
    counted(() => model.generate([clean], { maxNewTokens, sample: () => 5 })); // 5 does not end an answer
  const [few, more] = [await generate(3), await generate(7)];
  return {
    waits: (more.waits - few.waits) / 4,
    writes: (more.writes - few.writes) / 4,
    dispatches: (more.dispatches - few.dispatches) / 4,
  };
}

test('a further token is one wait, and as many writes whatever the number of layers', async () => {
  const config = await alteredConfig({}, { num_hidden_layers: 2 });
  const two = await loadModel(await testGpu(), folderWith({ 'config.json': config }, TINY));
  const four = await loadFixtureModel('llava-tiny');
  const [costs, costsOfFour] = [await perToken(two), await perToken(four)];
  two.destroy();
  // Token ids, angles, where the keys go, and of the plan the entry and the keys: the tile is that of the token before.
  expect(costs).toMatchObject({ waits: 1, writes: 5 });
  expect(costsOfFour).toMatchObject({ waits: 1, writes: 5 });
  expect(costsOfFour.dispatches - costs.dispatches).toBe(2 * 13);
});

test('a sweep waits as often as its self-checks and repeated cells have it, whatever the number of patches', async () => {
  const model = await loadFixtureModel('llava-tiny');
  const corrupt = golden.sample(id, 'corrupt');
  const job = (...sites: string[]) => ({
    clean,
    corrupt,
    correct: 5,
    incorrect: 7,
    sites: sites.map((site) => ({ site })),
  });
  const few = await counted(() => sweep(model, [job('language.hook_mlp_out')], { repeat: 0 }));
  const many = await counted(() =>
    sweep(model, [job('language.hook_mlp_out', 'language.attn.hook_z')], { repeat: 0 }),
  );
  const repeated = await counted(() => sweep(model, [job('language.hook_mlp_out')], { repeat: 3 }));
  expect([few.waits, many.waits, repeated.waits]).toEqual([2, 2, 8]);
});
