// Attention over many positions: by bands of queries where nobody looks on; whole, or some rows, for who does.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gpu, Tensor } from '../../src/gpu/index.ts';
import { NO_PROBE, type Probe, type VisionLanguageModel } from '../../src/models/index.ts';
import { runWithCache, runWithHooks } from '../../src/patching/index.ts';
import { openGpu } from '../../src/platform/node/adapter.ts';
import { read, upload } from '../kernels/support.ts';
import { expectNoticeError } from '../patching/support.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { CONFIG, randomTower, rootRun } from './tower-support.ts';

describe('a tower of more positions than the memory holds scores of', () => {
  const LENGTH = 2000;
  /** Two bands of scores and all else; all scores take 64 MB, a copy of them as much. */
  const BUDGET = 120e6;
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu({ memoryBudget: BUDGET });
  });
  afterAll(() => gpu.destroy());

  /** The first layer's output, and a copy of what the probe looks at. */
  function walk(probe: Partial<Probe>): Promise<{ out: Float32Array; seen: Float32Array[] }> {
    return gpu.work(async (w) => {
      const { tower } = randomTower(w);
      const x = upload(w, new Random(1).matrix(LENGTH, CONFIG.width));
      const run = rootRun(LENGTH);
      const kept: Tensor[] = [];
      const visit: Probe['visit'] = ({ tensor }) => {
        const copy = w.empty(tensor.rows, tensor.columns, 'copy');
        w.copy(tensor.buffer, 0, copy.buffer, 0, 4 * tensor.rows * tensor.columns);
        kept.push(copy);
      };
      const result = await tower.walk({ w, probe: { ...NO_PROBE, visit, ...probe }, runs: [run] }, x, 0, 1);
      const out = await read(w, result);
      const seen: Float32Array[] = [];
      for (const tensor of kept) seen.push(await read(w, tensor));
      return { out, seen };
    });
  }

  test('gives some rows of the pattern, and the same bits', async () => {
    const { out: alone } = await walk({});
    const wants = (name: string) => name.endsWith('hook_pattern');
    const { out, seen } = await walk({ wants, queries: () => [3, 1500] });
    expectSameBits(out, alone);
    expect(seen.map(({ length }) => length)).toEqual([2 * CONFIG.heads * LENGTH]);
  });

  test('refuses the whole of it with its size and says how to see some', async () => {
    const wants = (name: string) => name.endsWith('hook_pattern');
    await expectNoticeError(
      () => walk({ wants }),
      'out-of-memory',
      /tower\.blocks\.0\.attn: scores or pattern of 2000 positions, 4 heads and 2000 keys take 64000000 bytes.*queries/,
    );
  });
});

describe('the rows of some queries', () => {
  let model: VisionLanguageModel;
  let golden: Golden;
  beforeAll(async () => {
    model = await loadFixtureModel('llava-tiny');
    golden = await Golden.open('llava-tiny');
  });
  const names = ['language.blocks.1.attn.hook_pattern', 'language.blocks.2.attn.hook_attn_scores'];

  test('are those of the whole matrix', async () => {
    const samples = ['case0', 'case2'].map((id) => golden.sample(id, 'clean'));
    const queries = [9, 2];
    const whole = await runWithCache(model, samples, { names: [...names, 'language.blocks.1.attn.hook_z'] });
    const some = await runWithCache(model, samples, {
      names: [...names, 'language.blocks.1.attn.hook_z'],
      queries,
    });
    for (const name of names) {
      const [batch, heads, positions, keys] = whole.cache.get(name).shape as [number, number, number, number];
      expect(some.cache.get(name).shape).toEqual([batch, heads, queries.length, keys]);
      const all = await whole.cache.read(name);
      const expected = Array.from({ length: batch * heads }, (_, i) =>
        queries.map((query) => [
          ...all.subarray((i * positions + query) * keys, (i * positions + query + 1) * keys),
        ]),
      );
      expectSameBits(await some.cache.read(name), Float32Array.from(expected.flat(2)), { name });
    }
    // What is no matrix of keys is there as a whole.
    const z = 'language.blocks.1.attn.hook_z';
    expectSameBits(await some.cache.read(z), await whole.cache.read(z));
    expectSameBits(some.logits?.[1] as Float32Array, whole.logits?.[1] as Float32Array);
    whole.cache.release();
    some.cache.release();
  });

  test('are kept beside edits of all', async () => {
    const [name = ''] = names;
    const sample = golden.sample('case0', 'clean');
    const interventions = [{ op: 'scale', hook: name, alpha: 0.5 } as const];
    const { logits, cache } = await runWithCache(model, [sample], {
      names: name,
      queries: [4],
      interventions,
    });
    expect(cache.get(name).shape[2]).toBe(1);
    const [expected] = await runWithHooks(model, [sample], { interventions });
    expectSameBits(logits?.[0] as Float32Array, expected as Float32Array);
    cache.release();
  });

  test('that do not exist are named', async () => {
    const sample = golden.sample('case0', 'clean');
    await expectNoticeError(
      () => runWithCache(model, [sample], { names, queries: [sample.ids.length] }),
      'hook',
      /hook_pattern: query \d+ does not exist/,
    );
  });
});
