// Interventions that meet at one hook point: they happen in the order given, whatever shares a dispatch on the GPU.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type ActivationCache,
  add,
  hooks,
  type Intervention,
  interpolate,
  mean,
  replace,
  runWithCache,
  runWithHooks,
  scale,
  zero,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { sameLengthSamples } from './support.ts';

const HOOK = 'text_encoder.blocks.1.hook_mlp_out';
const PATTERN = 'text_encoder.blocks.1.attn.hook_pattern';
const WIDTH = 40;

let golden: Golden;
let model: VisionLanguageModel;
let samples: Sample[];
let plain: Float32Array;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  samples = sameLengthSamples(golden, 3);
  plain = await edited([]);
});

/** The hook point after some interventions, all rows of the batch. */
async function edited(interventions: readonly Intervention[], hook = HOOK): Promise<Float32Array> {
  const { cache } = await runWithCache(model, samples, { names: hook, stopAfter: hook, interventions });
  const values = await cache.read(hook);
  cache.release();
  return values;
}

/** Position `position` of batch row `run`. */
function place(values: Float32Array, run: number, position: number): Float32Array {
  const row = run * 10 + position;
  return values.slice(row * WIDTH, (row + 1) * WIDTH);
}

const ones = new Float32Array(WIDTH).fill(1);

describe('order', () => {
  test('the same operation twice', async () => {
    const at = { hook: HOOK, run: 0, positions: [2] };
    const values = await edited([scale(at, 2), scale(at, 4)]);
    expectSameBits(
      place(values, 0, 2),
      place(plain, 0, 2).map((x) => 8 * x),
    );
    const steered = await edited([add(at, { values: ones }, 1), add(at, { values: ones }, 2)]);
    expectClose(
      place(steered, 0, 2),
      place(plain, 0, 2).map((x) => x + 3),
      { rtol: 1e-6, atol: 1e-6 },
    );
    const fromRun = await edited([add(at, { run: 1 }), add(at, { run: 1 }), add(at, { run: 1 })]);
    const other = place(plain, 1, 2);
    expectClose(
      place(fromRun, 0, 2),
      place(plain, 0, 2).map((x, i) => x + 3 * other[i]!),
      { atol: 1e-5 },
    );
  });

  test('an operation between two of one kind', async () => {
    const at = { hook: HOOK, run: 0, positions: [2] };
    const values = await edited([scale(at, 3), replace(at, { run: 1 }), scale(at, 2)]);
    expectSameBits(
      place(values, 0, 2),
      place(plain, 1, 2).map((x) => 2 * x),
    );
    const zeroed = await edited([zero(at), replace(at, { run: 1 }), zero(at)]);
    expect(place(zeroed, 0, 2)).toEqual(new Float32Array(WIDTH));
    const replaced = await edited([replace(at, { run: 1 }), zero(at), replace(at, { run: 2 })]);
    expectSameBits(place(replaced, 0, 2), place(plain, 2, 2));
  });

  test('a source that was changed before, and one that is changed afterwards', async () => {
    const [a, b] = [0, 1].map((run) => ({ hook: HOOK, run, positions: [4] }));
    const chain = await edited([replace(a!, { run: 2 }), replace(b!, { run: 0 })]);
    expectSameBits(place(chain, 1, 4), place(plain, 2, 4));
    const before = await edited([replace(b!, { run: 0 }), replace(a!, { run: 2 })]);
    expectSameBits(place(before, 1, 4), place(plain, 0, 4));
    expectSameBits(place(before, 0, 4), place(plain, 2, 4));
  });

  test('within one intervention everything is read before anything is written', async () => {
    const shifted = await edited([
      replace({ hook: HOOK, run: 0, positions: [1, 2, 3, 4] }, { run: 0, positions: [2, 3, 4, 1] }),
    ]);
    for (const [to, from] of [
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 1],
    ] as const)
      expectSameBits(place(shifted, 0, to), place(plain, 0, from));
    const doubled = await edited([add({ hook: HOOK, run: 0 }, { run: 0 })]);
    expectSameBits(
      place(doubled, 0, 5),
      place(plain, 0, 5).map((x) => 2 * x),
    );
    // All rows, the source among them.
    const all = await edited([replace({ hook: HOOK }, { run: 1 })]);
    for (let run = 0; run < 3; run++) expectSameBits(place(all, run, 7), place(plain, 1, 7));
  });

  test('a mean is taken of what was left before', async () => {
    const values = await edited([
      replace({ hook: HOOK }, { values: ones }),
      zero({ hook: HOOK, run: 0 }),
      zero({ hook: HOOK, run: 1 }),
      mean({ hook: HOOK, run: 2, positions: [0] }),
      mean({ hook: HOOK, run: 0, positions: [9] }),
    ]);
    expectClose(
      place(values, 2, 0),
      ones.map(() => 1 / 3),
      { rtol: 1e-6 },
    );
    // One of 30 positions was 1/3 then, 9 were 1.
    expectClose(
      place(values, 0, 9),
      ones.map(() => (9 + 1 / 3) / 30),
      { rtol: 1e-6 },
    );
  });

  test('different columns of one row', async () => {
    const values = await edited([
      scale({ hook: HOOK, run: 0, positions: [1], features: [0, 10] }, 2),
      scale({ hook: HOOK, run: 0, positions: [1], features: [10, 20] }, 3),
      scale({ hook: HOOK, run: 0, positions: [1], features: [5, 15] }, 5),
    ]);
    const factor = (i: number) => (i < 10 ? 2 : i < 20 ? 3 : 1) * (i >= 5 && i < 15 ? 5 : 1);
    expectClose(
      place(values, 0, 1),
      place(plain, 0, 1).map((x, i) => factor(i) * x),
      { rtol: 1e-6 },
    );
  });
});

test('caches of one hook point are as many sources', async () => {
  const others = sameLengthSamples(golden, 9);
  const caches: ActivationCache[] = [];
  for (const sample of others)
    caches.push((await runWithCache(model, [sample], { names: HOOK, stopAfter: HOOK })).cache);
  const values = await edited(
    caches.map((cache, p) => replace({ hook: HOOK, run: 0, positions: [p] }, { cached: cache.get(HOOK) })),
  );
  for (const [p, cache] of caches.entries()) {
    expectSameBits(place(values, 0, p), place(await cache.read(HOOK), 0, p));
    cache.release();
  }
});

test('everything replaced by its own value changes nothing', async () => {
  const logits = await runWithHooks(model, samples, {});
  const { cache } = await runWithCache(model, [...samples].reverse());
  const everywhere = hooks(model).map(({ name }) => name);
  const sources = {
    'from itself': everywhere.flatMap((hook) => samples.map((_, run) => replace({ hook, run }, { run }))),
    'from a cache': everywhere.flatMap((hook) =>
      samples.map((_, run) => replace({ hook, run }, { cached: cache.get(hook), batch: 2 - run })),
    ),
    'interpolated by 0': everywhere.flatMap((hook) => interpolate({ hook }, { run: 0 }, 0)),
    'with 0 times another added': everywhere.flatMap((hook) => add({ hook }, { run: 0 }, 0)),
    'scaled by 1': everywhere.map((hook) => scale({ hook }, 1)),
  };
  for (const [name, interventions] of Object.entries(sources)) {
    const same = await runWithHooks(model, samples, { interventions });
    same.forEach((row, i) => {
      expectSameBits(row, logits[i]!, { name });
    });
  }
  cache.release();
});

describe('prompts of different lengths', () => {
  test('a pattern from a batch with another number of keys in a row', async () => {
    // Keys of a head take 12 places in a batch of 10 tokens, and 16 beside a prompt of 15.
    const long = golden.sample('case1', 'clean');
    const { cache } = await runWithCache(model, samples, { names: PATTERN, stopAfter: PATTERN });
    const expected = await cache.read(PATTERN);
    const { cache: changed } = await runWithCache(model, [long, samples[0]!], {
      names: PATTERN,
      stopAfter: PATTERN,
      interventions: [replace({ hook: PATTERN, run: 1 }, { cached: cache.get(PATTERN), batch: 1 })],
    });
    const [, heads, queries, keys] = changed.get(PATTERN).shape as [number, number, number, number];
    expect([heads, queries, keys]).toEqual([4, 15, 15]);
    const values = await changed.read(PATTERN);
    for (let h = 0; h < 4; h++)
      for (let q = 0; q < 10; q++) {
        const at = ((heads + h) * queries + q) * keys;
        const from = ((4 + h) * 10 + q) * 10;
        expectSameBits(values.slice(at, at + 10), expected.slice(from, from + 10));
        expect([...values.slice(at + 10, at + 15)]).toEqual([0, 0, 0, 0, 0]);
      }
    cache.release();
    changed.release();
  });

  test('values of a pattern are as many as there are keys', async () => {
    const even = new Float32Array(20).fill(1 / 10);
    const values = await edited(
      [replace({ hook: PATTERN, run: 1, heads: [0, 3], positions: [2] }, { values: even })],
      PATTERN,
    );
    const before = await edited([], PATTERN);
    const at = (h: number) => ((4 + h) * 10 + 2) * 10;
    for (const h of [0, 3]) expectSameBits(values.slice(at(h), at(h) + 10), even.slice(0, 10));
    for (const h of [1, 2]) expectSameBits(values.slice(at(h), at(h) + 10), before.slice(at(h), at(h) + 10));
  });

  test('attention to images may be taken from a prompt of another length', async () => {
    const hook = 'text_encoder.blocks.2.cross_attn.hook_attn_scores';
    const long = golden.sample('case1', 'clean');
    const { cache } = await runWithCache(model, [long, samples[0]!], {
      names: hook,
      stopAfter: hook,
      interventions: [replace({ hook, run: 1, positions: [0, 1, 2] }, { run: 0, positions: [14, 13, 12] })],
    });
    const [, heads, queries, keys] = cache.get(hook).shape as [number, number, number, number];
    const values = await cache.read(hook);
    const row = (batch: number, h: number, q: number) => {
      const at = ((batch * heads + h) * queries + q) * keys;
      return values.slice(at, at + keys);
    };
    for (let h = 0; h < heads; h++)
      for (const q of [0, 1, 2]) expectSameBits(row(1, h, q), row(0, h, 14 - q));
    cache.release();
  });
});
