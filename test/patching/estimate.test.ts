// Plans against what is computed by hand, and against what the walks then take.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Work } from '../../src/gpu/index.ts';
import { ModelRun, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import {
  planSweep,
  type SweepJob,
  type SweepOptions,
  type SweepSite,
  sweep,
  weighted,
} from '../../src/patching/index.ts';
import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { caseJob, sameLengthSamples } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
});

// blip-tiny: 3 blocks each, width 40, 37 image positions (36 patches of 3 · 8 · 8 values), MLPs of 112 and 136,
// vocabulary 187.
const [LAYERS, WIDTH, IMAGE, PATCH, VISION_MLP, TEXT_MLP, VOCABULARY] = [3, 40, 37, 192, 112, 136, 187];

/** A matrix product; a multiply-add counts as two. */
const product = (rows: number, inner: number, columns: number) => 2 * rows * inner * columns;
/** Scores and values of all heads. */
const attention = (queries: number, keys: number) => 2 * product(queries, WIDTH, keys);
const mlp = (rows: number, width: number) => 2 * product(rows, WIDTH, width);

const visionFlops =
  product(IMAGE - 1, PATCH, WIDTH) +
  LAYERS * (product(IMAGE, WIDTH, 4 * WIDTH) + attention(IMAGE, IMAGE) + mlp(IMAGE, VISION_MLP));

/** A block of a text tower: q, k, v, out; q and out of cross-attention; keys and values of what it attends to. */
const textFlops = (rows: number, memory: number) =>
  LAYERS *
  (product(rows, WIDTH, 6 * WIDTH) +
    attention(rows, rows) +
    product(memory, WIDTH, 2 * WIDTH) +
    attention(rows, memory) +
    mlp(rows, TEXT_MLP));

/** Image features, and the keys and values that the text encoder makes of them. */
const featureFlops = visionFlops + LAYERS * product(IMAGE, WIDTH, 2 * WIDTH);

const headFlops = product(1, WIDTH, WIDTH) + product(1, WIDTH, VOCABULARY);

const forwardFlops = (length: number) =>
  visionFlops + textFlops(length, IMAGE) + textFlops(1, length) + headFlops;

describe('a forward pass', () => {
  const forward = (samples: readonly Sample[]) => (w: Work) =>
    model.forward(
      w,
      samples.map((sample) => new ModelRun(sample)),
    );

  test.each(['case0', 'case1', 'case2'])('has the FLOPs of the formula: %s', async (id) => {
    const sample = golden.sample(id, 'clean');
    const { flops, flopsByKernel } = await model.gpu.count(forward([sample]));
    expect(flops).toBe(forwardFlops(sample.ids.length));
    expect([...flopsByKernel.values()].reduce((sum, x) => sum + x)).toBe(flops);
  });

  test('of a batch has those of its rows, and takes the memory that was estimated', async () => {
    const samples = ['case0', 'case1', 'case2'].map((id) => golden.sample(id, 'clean'));
    const estimate = await model.gpu.count(forward(samples));
    expect(estimate.flops).toBe(samples.reduce((sum, { ids }) => sum + forwardFlops(ids.length), 0));
    const { gpu } = model;
    const before = gpu.pool.statistics;
    gpu.pool.resetPeak();
    const dispatches = gpu.statistics.dispatches;
    await gpu.work(forward(samples));
    expect(gpu.pool.statistics.peakUsedBytes - before.usedBytes).toBe(estimate.peakBytes);
    expect(gpu.statistics.dispatches - dispatches).toBe(estimate.dispatches);
    // Images that are the same object are seen once, and their keys and values made once.
    const [first] = samples as [Sample];
    const shared = await model.gpu.count(forward([first, { ...first }]));
    expect(shared.flops).toBe(2 * forwardFlops(10) - featureFlops);
  });

  test('that is estimated leaves nothing behind', async () => {
    const { gpu } = model;
    const before = { ...gpu.pool.statistics, ...gpu.statistics };
    await gpu.count(forward(sameLengthSamples(golden, 4)));
    await expect(
      gpu.count((w) => {
        w.empty(10, 10, 'never made');
        throw new Error('while estimating');
      }),
    ).rejects.toThrow('while estimating');
    expect({ ...gpu.pool.statistics, ...gpu.statistics }).toEqual(before);
    const [sample] = sameLengthSamples(golden, 1);
    const found = await gpu.work(async (w) => {
      const { tensor } = await model.forward(w, [new ModelRun(sample!)]);
      return (await w.read(tensor))[0]!;
    });
    expect(found.every((x) => x === 0)).toBe(false);
  });
});

const Z = 'text_encoder.attn.hook_z';

/** What a sweep takes, and what its plan says. */
async function compare(jobs: readonly SweepJob[], options: SweepOptions = {}) {
  const { gpu } = model;
  const plan = await planSweep(model, jobs, options);
  gpu.pool.resetPeak();
  const used = gpu.pool.statistics.usedBytes;
  const dispatches = gpu.statistics.dispatches;
  const results = await sweep(model, jobs, { ...options, repeat: 0 });
  return {
    plan,
    results,
    peakBytes: gpu.pool.statistics.peakUsedBytes - used,
    dispatches: gpu.statistics.dispatches - dispatches,
  };
}

describe('a sweep', () => {
  test('has the rows that its cones have', async () => {
    const job = caseJob(golden, 'case0', [{ site: Z }]);
    const { layers, cells, walks } = await planSweep(model, [job]);
    expect([cells, walks]).toEqual([30, 1]);
    const rows = (tower: string) => layers.filter((row) => row.tower === tower).map((row) => row.rows);
    // Clean and corrupt image.
    expect(rows('vision')).toEqual([2 * IMAGE, 2 * IMAGE, 2 * IMAGE]);
    // Clean, corrupt and rounding run; patches of this block have one row each, those of blocks below all ten. The null
    // patch is in block 1.
    expect(rows('text_encoder')).toEqual([30 + 10, 30 + 10 + 100 + 1, 30 + 10 + 200 + 10]);
    // Everything that was patched, three controls, clean and corrupt run.
    expect(rows('text_decoder')).toEqual([35, 35, 35]);
    expect(layers.map(({ oneByOneRows }) => oneByOneRows)).toEqual([
      ...Array(3).fill(30 * 3 * IMAGE),
      ...Array(3).fill(30 * 3 * 10),
      ...Array(3).fill(30 * 3),
    ]);
  });

  test('has the FLOPs of the formula: patches in the last block', async () => {
    const site: SweepSite = { site: 'text_encoder.hook_mlp_out', layers: [2], positions: [1, 2, 3, 4] };
    const job = caseJob(golden, 'case0', [site]);
    const { flops, oneByOneFlops, oneByOneSharedFlops } = await planSweep(model, [job], { controls: false });
    // Two whole runs, then four runs that have a row of their own after the last product of the encoder's last block: a
    // row more of keys and values in every block of the decoder, and the decoder.
    const encoder = textFlops(10, IMAGE) + visionFlops;
    expect(flops).toBe(
      2 * encoder +
        2 * (textFlops(1, 10) + headFlops) +
        4 * (textFlops(1, 10) - LAYERS * product(10 - 1, WIDTH, 2 * WIDTH) + headFlops) -
        // The first block of the decoder has met nothing of the question before its cross-attention.
        savedInDecoder(4),
    );
    expect(oneByOneFlops).toBe(4 * 3 * forwardFlops(10));
    // Once for each image.
    expect(oneByOneSharedFlops).toBe(oneByOneFlops - (4 * 3 - 2) * featureFlops);
  });

  /** Decoder rows of derived runs begin at the first cross-attention, whose queries are those of the base. */
  function savedInDecoder(runs: number): number {
    return (
      runs *
      (product(1, WIDTH, 3 * WIDTH) + attention(1, 1) + product(1, WIDTH, WIDTH) + product(1, WIDTH, WIDTH))
    );
  }

  test.each<[string, SweepSite[], SweepOptions]>([
    ['by position', [{ site: Z }], {}],
    ['without controls', [{ site: Z }], { controls: false }],
    ['by head', [{ site: 'text_encoder.cross_attn.hook_z', heads: true, positions: [[2, 3], 5] }], {}],
    ['in the image', [{ site: 'vision.hook_mlp_out', positions: [0, 7, 36], layers: [0, 2] }], {}],
    ['of patterns', [{ site: 'text_encoder.attn.hook_pattern', heads: true }], {}],
    ['in several walks', [{ site: Z }], { cellsPerWalk: 7 }],
    [
      'measured by weights, in several walks',
      [{ site: Z }],
      { cellsPerWalk: 7, metric: weighted(new Float32Array(VOCABULARY)) },
    ],
    [
      'of keys of the image in several walks',
      [{ site: 'text_encoder.cross_attn.hook_k' }],
      { cellsPerWalk: 40 },
    ],
    [
      'in the image in several walks',
      [{ site: 'vision.attn.hook_z', positions: [1, 2, 3] }],
      { cellsPerWalk: 4 },
    ],
    [
      'of everything',
      [
        { site: 'text_encoder.hook_resid_pre' },
        { site: 'text_decoder.cross_attn.hook_attn_scores' },
        { site: Z },
      ],
      {},
    ],
  ])('takes what its plan says: %s', async (_, sites, options) => {
    for (const id of ['case0', 'case2']) {
      const fitting = sites.map((site) =>
        id === 'case2' && !site.site.startsWith('vision') ? { ...site, positions: [1, [2, 4]] } : site,
      );
      const jobs = [
        caseJob(
          golden,
          id,
          fitting.map((site) => (site.site.startsWith('text_decoder') ? { site: site.site } : site)),
        ),
      ];
      const { plan, peakBytes, dispatches } = await compare(jobs, options);
      expect(dispatches).toBe(plan.dispatches);
      expect(peakBytes).toBe(plan.peakBytes);
    }
  });

  test('of several jobs and in several walks: the same results, FLOPs that add up', async () => {
    const jobs = ['case0', 'case3'].map((id) => caseJob(golden, id, [{ site: Z, layers: [0, 2] }]));
    const whole = await compare(jobs, { controls: false });
    const parts = await compare(jobs, { controls: false, cellsPerWalk: 8 });
    expect(whole.plan).toMatchObject({ cells: 2 * (10 + 14), walks: 1 });
    expect(parts.plan.walks).toBeGreaterThanOrEqual(6);
    expect(parts.plan.flops).toBeGreaterThan(whole.plan.flops);
    expect(parts.plan.oneByOneFlops).toBe(whole.plan.oneByOneFlops);
    expect(whole.plan.oneByOneFlops).toBe(
      jobs.reduce((sum, { clean }) => sum + 3 * 2 * clean.ids.length * forwardFlops(clean.ids.length), 0),
    );
    // The vision tower is walked once for every image, however many walks there are.
    const vision = (plan: typeof whole.plan) => plan.layers.find(({ tower }) => tower === 'vision')?.rows;
    expect(vision(parts.plan)).toBe(vision(whole.plan));
    parts.results.forEach(({ sites }, i) => {
      expectSameBits(sites[0]!.data, whole.results[i]!.sites[0]!.data);
    });
    expect(parts.dispatches).toBe(parts.plan.dispatches);
  });
});
