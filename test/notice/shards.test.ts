// How measurements are cut into shards: by what they cost.

import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import type { Part, RunContext } from '../../src/notice/experiment/context.ts';
import { partOperations } from '../../src/notice/experiment/costs.ts';
import { readInputs } from '../../src/notice/experiment/inputs.ts';
import { preparePart, sweepsOf } from '../../src/notice/experiment/part-inputs.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { dealParts } from '../../src/notice/experiment/shards.ts';
import { planSweep } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { testGpu } from '../support/gpu.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('parts are dealt', () => {
  const costs = fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 60 });
  const load = (parts: readonly { operations: number }[]) =>
    parts.reduce((sum, { operations }) => sum + operations, 0);

  test('each to one shard, in their order, and no two shards differ by more than one part', () => {
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 12 }), (list, count) => {
        const parts = list.map((operations, place) => ({ operations, place }));
        const shards = dealParts(parts, count);
        expect(shards).toHaveLength(count);
        for (const own of shards) expect(own).toEqual(own.toSorted((a, b) => a.place - b.place));
        expect(shards.flat().sort((a, b) => a.place - b.place)).toEqual(parts);
        const loads = shards.map(load);
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(Math.max(0, ...list));
      }),
    );
  });

  test('so that the last does not run twice as long as the first, where by count it would', () => {
    // Every other sample has a long prompt.
    const parts = Array.from({ length: 24 }, (_, i) => ({ operations: i % 2 ? 90 : 30 + i }));
    const ratio = (shards: readonly (typeof parts)[]) =>
      Math.max(...shards.map(load)) / Math.min(...shards.map(load));
    const byCount = [0, 1, 2, 3].map((shard) => parts.filter((_, i) => i % 4 === shard));
    expect(ratio(byCount)).toBeGreaterThan(2);
    expect(ratio(dealParts(parts, 4))).toBeLessThan(1.15);
  });
});

describe('what parts cost', () => {
  let model: VisionLanguageModel;
  let run: RunContext;
  beforeAll(async () => {
    const source = nodeFolder(`${ROOT}weights/blip-shapes`);
    model = await loadModel(await testGpu(), source);
    const processor = await Processor.load(model, source);
    const settings: ExperimentSettings = {
      ...{ model: 'blip-shapes', data: [`${ROOT}data/faces.csv`, `${ROOT}data/states.csv`], samples: 6 },
      ...{
        select: 'first',
        corruptions: ['sip', 'str', 'noise'],
        statistic: 'absolute',
        compat: [],
        seed: 0,
      },
      ...{ noiseDraws: 2, noiseScale: 3, template: undefined, ...defaultSites(model) },
    };
    const inputs = await readInputs(settings);
    run = { ...inputs, settings, model, processor, onProgress: () => {} } as unknown as RunContext;
  });
  afterAll(() => model.destroy());

  /** Five samples of each task, those of noise apart. */
  const partsOf = (): Part[] =>
    run.tasks.flatMap((input, at) => {
      const { task, pairs } = input as unknown as { task: string; pairs: Part['chosen'][number]['pair'][] };
      const chosen = pairs
        .slice(0, 5)
        .map((pair) => ({ pair, answer: pair.correct })) as unknown as Part['chosen'];
      const samples = chosen.map(({ pair }) => pair.id);
      const part = { task, samples, chosen, deviation: 1 };
      return [
        { ...part, name: `${at}-semantic` },
        { ...part, name: `${at}-noise`, noise: true as const },
      ];
    });

  test('is the sum of the plans of their sweeps', async () => {
    const parts = partsOf();
    const found = await partOperations(run, parts, new Map());
    for (const part of parts) {
      let sum = 0;
      for (const chosen of part.chosen) {
        const sweeps = sweepsOf(run, part, await preparePart(run, { chosen: [chosen] }));
        for (const { job } of sweeps) sum += (await planSweep(model, [job])).flops;
      }
      expect(found.get(part.name), part.name).toBe(sum);
    }
  });

  test('is not planned again where it is known', async () => {
    const [part] = partsOf() as [Part];
    expect(await partOperations(run, [part], new Map([[part.name, 7]]))).toEqual(new Map([[part.name, 7]]));
  });
});
