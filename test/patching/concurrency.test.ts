// One model used by several callers at a time: what each gets is what it would get alone, and nothing leaks.

import { beforeAll, describe, expect, test } from 'vitest';
import { loadModel, type VisionLanguageModel } from '../../src/models/index.ts';
import { planSweep, runWithCache, runWithHooks, type SweepJob, sweep } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { type ModelSource, memorySource } from '../../src/weights/index.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture, Golden, loadFixtureModel } from '../support/golden.ts';
import { caseJob, withoutLeak } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
let job: SweepJob;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  job = caseJob(golden, 'case0', [{ site: 'text_encoder.attn.hook_z' }]);
});

/** Something that begins while a sweep plans its walks, at each of its first steps. */
async function duringSweeps(work: () => Promise<void>) {
  for (const steps of [0, 1, 3, 10, 30, 100]) {
    const running = sweep(model, [job], { repeat: 0 });
    for (let i = 0; i < steps; i++) await Promise.resolve();
    const [result] = await Promise.allSettled([work(), running]);
    if (result.status === 'rejected') throw result.reason;
  }
}

describe('while a sweep runs', () => {
  test('another sweep', async () => {
    const [alone] = await sweep(model, [job], { repeat: 0 });
    await duringSweeps(async () => {
      const [again] = await sweep(model, [job], { repeat: 0 });
      expect(again).toEqual(alone);
    });
  });

  test('a forward pass', async () => {
    const [alone] = await runWithHooks(model, [job.corrupt], {});
    await duringSweeps(async () => {
      const [again] = await runWithHooks(model, [job.corrupt], {});
      expectSameBits(again!, alone!);
    });
  });

  test('an answer', async () => {
    const [alone] = await model.generate([job.clean]);
    await duringSweeps(async () => {
      expect(await model.generate([job.clean])).toEqual([alone]);
    });
  });

  test('the reading and the release of a cache', async () => {
    const names = 'vision.hook_out';
    const { cache } = await runWithCache(model, [job.clean], { names });
    const alone = await cache.read(names);
    await duringSweeps(async () => {
      expectSameBits(await cache.read(names), alone);
    });
    cache.release();
    await withoutLeak(model.gpu, () =>
      duringSweeps(async () => (await runWithCache(model, [job.clean], { names })).cache.release()),
    );
  });
});

test('a quantised model is loaded while sweeps are planned', async () => {
  const { gpu } = model;
  const folder = nodeFolder(fixture('blip-tiny'));
  /** The folder in memory. Every read goes on at the same time as something else. */
  const inMemory = (meanwhile: () => void): ModelSource => ({
    name: folder.name,
    open: async (file) => {
      const source = await folder.open(file);
      if (!source) return undefined;
      const bytes = await source.read(0, source.size);
      const memory = memorySource(bytes, source.name);
      return {
        ...memory,
        read: (offset, length) => {
          meanwhile();
          return memory.read(offset, length);
        },
      };
    },
  });
  const load = async (meanwhile: () => void) => {
    const loaded = await loadModel(gpu, inMemory(meanwhile), { dtype: 'nf4' });
    const [logits] = await runWithHooks(loaded, [job.clean], {});
    loaded.destroy();
    return logits as Float32Array;
  };
  const alone = await load(() => {});
  const plans: Promise<unknown>[] = [];
  expectSameBits(await load(() => plans.push(planSweep(model, [job]))), alone);
  expect(new Set((await Promise.all(plans)).map((plan) => JSON.stringify(plan))).size).toBe(1);
});

test('a cache is released while another run goes on', async () => {
  await withoutLeak(model.gpu, async () => {
    for (let time = 0; time < 5; time++) {
      const { cache } = await runWithCache(model, [job.clean]);
      const running = runWithCache(model, [job.corrupt]);
      for (let i = 0; i < time; i++) await Promise.resolve();
      cache.release();
      (await running).cache.release();
    }
  });
});
