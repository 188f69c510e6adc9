// Random tasks of two models on one device at once: each gives what it gives alone, bit for bit. `NOTICE_TEST_DRAWS` asks for
// more draws than the few of every run.

import { beforeAll, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import { planSweep, runWithCache, runWithHooks, scale, sweep } from '../../src/patching/index.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { caseJob } from './support.ts';

const DRAWS = Number(process.env.NOTICE_TEST_DRAWS ?? 3);
const TASKS = 6;

interface Subject {
  readonly model: VisionLanguageModel;
  readonly golden: Golden;
  /** A site with few cells. */
  readonly site: string;
}

let subjects: Subject[];
beforeAll(async () => {
  const open = async (name: string, site: string): Promise<Subject> => ({
    model: await loadFixtureModel(name),
    golden: await Golden.open(name),
    site,
  });
  subjects = [
    await open('blip-tiny', 'text_encoder.attn.hook_z'),
    await open('llava-tiny', 'language.hook_mlp_out'),
  ];
});

/** A task as a function that can be called again and again, with the same result. */
type Task = () => Promise<unknown>;

function randomTask(random: Random): Task {
  const { model, golden, site } = subjects[random.integer(subjects.length)] as Subject;
  const { id } = golden.cases[random.integer(golden.cases.length)] as { id: string };
  const samples: Sample[] = (['clean', 'corrupt'] as const)
    .slice(0, 1 + random.integer(2))
    .map((run) => golden.sample(id, run));
  const layer = random.integer(3);
  const hook = site.replace('.', `.blocks.${layer}.`);
  const positions = [1 + random.integer(6)];
  const job = caseJob(golden, id, [{ site, layers: [layer], positions }]);
  const pause = () => new Promise((resolve) => setTimeout(resolve, random.integer(3)));
  const kinds: readonly Task[] = [
    async () => {
      const { logits, cache } = await runWithCache(model, samples, { names: hook });
      try {
        return [logits, await cache.read(hook)];
      } finally {
        cache.release();
      }
    },
    () => runWithHooks(model, samples, { interventions: [scale({ hook, positions }, 0.5)] }),
    () => model.generate(samples, { maxNewTokens: 3, keepLogits: true }),
    () => sweep(model, [job], { repeat: 1 }),
    () => planSweep(model, [job]),
    // A callback that itself runs a model on the device, at once or after a while.
    async () => {
      const inner = randomTask(new Random(positions[0] as number));
      let found: unknown;
      const callback = async (data: Float32Array) => {
        await pause();
        found ??= await inner();
        return data.map((value) => 2 * value);
      };
      return [await runWithHooks(model, samples, { hooks: [{ hook, callback }] }), found];
    },
  ];
  return kinds[random.integer(kinds.length)] as Task;
}

test.each(Array.from({ length: DRAWS }, (_, i) => i + 1))('draw %i', async (seed) => {
  const random = new Random(seed);
  const tasks = Array.from({ length: TASKS }, () => randomTask(random));
  const { gpu } = (subjects[0] as Subject).model;
  const before = gpu.pool.statistics.usedBytes;
  const alone: unknown[] = [];
  for (const task of tasks) alone.push(await task());
  const together = await Promise.all(
    tasks.map(async (task) => {
      for (let steps = random.integer(20); steps > 0; steps--) await Promise.resolve();
      return task();
    }),
  );
  expect(together).toEqual(alone);
  expect(gpu.pool.statistics.usedBytes).toBe(before);
});
