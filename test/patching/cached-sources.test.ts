// Which row of a cached activation a target gets where none is named: row by row, or one for all.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import { type ActivationCache, replace, runWithCache, runWithHooks } from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, sameLengthSamples, withoutLeak } from './support.ts';

const HOOK = 'text_encoder.blocks.2.hook_normalized_resid_post';
const PATTERN = 'text_encoder.blocks.1.attn.hook_pattern';

let model: VisionLanguageModel;
let samples: Sample[];
let others: Sample[];
beforeAll(async () => {
  const golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  const all = sameLengthSamples(golden, 6);
  samples = all.slice(0, 3);
  others = all.slice(3);
});

async function withCache(of: readonly Sample[], use: (cache: ActivationCache) => Promise<void>) {
  const { cache } = await runWithCache(model, of, { names: [HOOK, PATTERN] });
  await use(cache);
  cache.release();
}

describe('a cache of as many rows as the batch', () => {
  test('goes row by row', async () => {
    const own = await runWithHooks(model, others, {});
    await withCache(others, async (cache) => {
      // The last of the text encoder's output is all that the answer depends on.
      const logits = await runWithHooks(model, samples, {
        interventions: [replace({ hook: HOOK }, { cached: cache.get(HOOK) })],
      });
      logits.forEach((row, i) => {
        expectSameBits(row, own[i]!, { name: `row ${i}` });
      });
      expect(logits[0]).not.toEqual(logits[1]);
    });
  });

  test.each([HOOK, PATTERN])('gives one target the row of its number: %s', async (hook) => {
    await withCache(others, async (cache) => {
      const run = (batch?: number) =>
        runWithHooks(model, samples, {
          interventions: [
            replace({ hook, run: 1 }, { cached: cache.get(hook), ...(batch !== undefined && { batch }) }),
          ],
        });
      const [paired, named, first] = [await run(), await run(1), await run(0)];
      expect(paired).toEqual(named);
      expect(paired).not.toEqual(first);
    });
  });
});

test('a cache of one row serves all', async () => {
  const [own] = await runWithHooks(model, others.slice(0, 1), {});
  await withCache(others.slice(0, 1), async (cache) => {
    const logits = await runWithHooks(model, samples, {
      interventions: [replace({ hook: HOOK }, { cached: cache.get(HOOK) })],
    });
    for (const row of logits) expectSameBits(row, own!);
  });
});

test.each([
  ['all rows', {}],
  ['one row', { run: 0 }],
])('any other number of rows is refused unless one is named: %s', async (_, target) => {
  await withCache(others.slice(0, 2), async (cache) => {
    const cached = cache.get(HOOK);
    const run = (batch?: number) =>
      runWithHooks(model, samples, {
        interventions: [
          replace({ hook: HOOK, ...target }, { cached, ...(batch !== undefined && { batch }) }),
        ],
      });
    await withoutLeak(model.gpu, () =>
      expectNoticeError(run, 'hook', /holds 2 rows, the batch has 3, .* name one with `batch`/),
    );
    await run(1);
  });
});
