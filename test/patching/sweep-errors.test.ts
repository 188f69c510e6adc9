// Sweeps that cannot be, and those that memory splits.

import { beforeAll, describe, expect, test } from 'vitest';
import type { NoticeError } from '../../src/errors.ts';
import type { ImageInput, VisionLanguageModel } from '../../src/models/index.ts';
import {
  planSweep,
  runWithCache,
  type SweepJob,
  type SweepOptions,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';

import { expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { caseJob, expectNoticeError, withoutLeak } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
let job: SweepJob;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  job = caseJob(golden, 'case0', [{ site: 'text_encoder.attn.hook_z', positions: [2], layers: [0] }]);
});

const Z = 'text_encoder.attn.hook_z';
const at = (site: SweepSite): Partial<SweepJob> => ({ sites: [site] });
const noise = (hook: string, count: number): Partial<SweepJob> => ({
  noise: { hook, values: new Float32Array(count) },
});

describe('refused, by the sweep and by its plan', () => {
  test.each<[string, Partial<SweepJob>, NoticeError['code'], RegExp]>([
    [
      'an unknown site',
      at({ site: 'text_encoder.attn.hook_zz' }),
      'hook',
      /"text_encoder\.attn\.hook_zz"; the nearest are text_encoder\.attn\.hook_z,/,
    ],
    [
      'a site of another tower',
      at({ site: 'vision.cross_attn.hook_z' }),
      'hook',
      /nearest are vision\.attn\.hook_z/,
    ],
    ['a site without a tower', at({ site: 'attn.hook_z' }), 'hook', /unknown site "attn\.hook_z"/],
    [
      'a hook point outside the blocks',
      at({ site: 'vision.hook_out' }),
      'hook',
      /unknown site "vision\.hook_out"/,
    ],
    [
      'heads where there are none',
      at({ site: 'text_encoder.hook_mlp_out', heads: true }),
      'hook',
      /hook_mlp_out has no heads/,
    ],
    [
      "heads of attention's output",
      at({ site: 'vision.hook_attn_out', heads: true }),
      'hook',
      /hook_attn_out has no heads/,
    ],
    ['a block', at({ site: Z, layers: [3] }), 'hook', /hook_z: block 3 does not exist, there are 3/],
    ['a block twice', at({ site: Z, layers: [1, 1] }), 'hook', /block 1 is named twice/],
    [
      'a position',
      at({ site: Z, positions: [10] }),
      'hook',
      /hook_z: position 10 does not exist, there are 10/,
    ],
    [
      'a position of the image',
      at({ site: 'text_encoder.cross_attn.hook_k', positions: [37] }),
      'hook',
      /position 37 .* 37/,
    ],
    [
      'a position of the decoder',
      at({ site: 'text_decoder.attn.hook_z', positions: [1] }),
      'hook',
      /position 1 .* 1/,
    ],
    [
      'a position of the question for the decoder',
      at({ site: 'text_decoder.cross_attn.hook_v', positions: [10] }),
      'hook',
      /position 10 .* 10/,
    ],
    [
      'a position twice in a group',
      at({ site: Z, positions: [[1, 2, 1]] }),
      'hook',
      /position 1 is named twice/,
    ],
    ['half a position', at({ site: Z, positions: [0.5] }), 'hook', /position 0\.5/],
    [
      'an empty group of positions',
      at({ site: Z, positions: [[1], []] }),
      'hook',
      /hook_z: position: an empty list/,
    ],
    ['no positions', at({ site: Z, positions: [] }), 'usage', /pair 0: no cells to patch/],
    ['no blocks', at({ site: Z, layers: [] }), 'usage', /no cells to patch/],
    ['no sites', { sites: [] }, 'usage', /no cells to patch/],
    [
      'an answer that does not exist',
      { correct: 187 },
      'usage',
      /pair 0: the correct answer's token is 187, expected a whole number from 0 to 186/,
    ],
    ['half an answer', { incorrect: 1.5 }, 'usage', /the incorrect answer's token is 1\.5/],
    [
      'noise at an unknown hook point',
      noise('vision.hook_embedd', 40),
      'hook',
      /noise cannot be added at vision\.hook_embedd, only at vision\.hook_embed, vision\.hook_out, text_encoder\.hook_embed$/,
    ],
    [
      'noise in a block',
      noise('vision.blocks.0.hook_resid_pre', 40),
      'hook',
      /noise cannot be added at vision\.blocks/,
    ],
    ['noise behind the prompt', noise('text_decoder.hook_embed', 40), 'hook', /noise cannot be added/],
    [
      'noise of a wrong size',
      noise('vision.hook_embed', 36 * 40),
      'shape',
      /hook_embed: 1440 values for 37 positions of 40 elements/,
    ],
  ])('%s', async (_, change, code, message) => {
    for (const run of [sweep, planSweep])
      await withoutLeak(model.gpu, () =>
        expectNoticeError(() => run(model, [{ ...job, ...change }]), code, message),
      );
  });

  test('prompts of unequal lengths, of the second pair', async () => {
    const corrupt = golden.sample('case1', 'clean');
    await withoutLeak(model.gpu, () =>
      expectNoticeError(
        () => sweep(model, [job, { ...job, corrupt }]),
        'text',
        /pair 1: the clean prompt has 10 tokens, the corrupt one 15/,
      ),
    );
  });

  test('NaN in an image', async () => {
    const [image] = job.corrupt.images as [ImageInput];
    const data = image.data.map((value, i) => (i === 100 ? Number.NaN : value));
    for (const mode of ['wavefront', 'one-by-one'] as const)
      await withoutLeak(model.gpu, () =>
        expectNoticeError(
          () =>
            sweep(model, [{ ...job, corrupt: { ...job.corrupt, images: [{ ...image, data }] } }], { mode }),
          'shape',
          /pixel value 100 is NaN/,
        ),
      );
  });

  test.each([0, -1, 0.5, Number.NaN])('%d cells per walk', async (cellsPerWalk) => {
    await expectNoticeError(
      () => sweep(model, [job], { cellsPerWalk }),
      'usage',
      `cellsPerWalk is ${cellsPerWalk}, expected a whole number from 1`,
    );
  });

  test('no jobs give no results', async () => {
    expect(await sweep(model, [])).toEqual([]);
    expect(await planSweep(model, [])).toMatchObject({ cells: 0, walks: 0, flops: 0 });
  });
});

describe('results', () => {
  const sites: SweepSite[] = [
    { site: Z, heads: true, layers: [2, 0], positions: [7, [1, 3]] },
    { site: 'text_encoder.hook_mlp_out', positions: [0] },
  ];

  test('are arranged as asked for', async () => {
    const [result] = await sweep(model, [{ ...job, sites }]);
    expect(result?.sites.map(({ shape }) => shape)).toEqual([
      [2, 4, 2, 4],
      [3, 1, 4],
    ]);
    expect(result?.sites[0]).toMatchObject({ site: Z, layers: [2, 0], heads: 4, positions: [[7], [1, 3]] });
    for (const [l, layer] of [2, 0].entries())
      for (const [p, group] of [7, [1, 3]].entries()) {
        const one: SweepSite = { site: Z, heads: true, layers: [layer], positions: [group] };
        const [alone] = await sweep(model, [{ ...job, sites: [one] }]);
        for (let h = 0; h < 4; h++)
          expectSameBits(
            result!.sites[0]!.data.slice(4 * ((l * 4 + h) * 2 + p)).slice(0, 4),
            alone!.sites[0]!.data.slice(4 * h, 4 * h + 4),
          );
      }
  });

  test('say how far they have come', async () => {
    const told: [number, number][] = [];
    await sweep(model, [{ ...job, sites }], {
      cellsPerWalk: 5,
      onProgress: (done, cells) => told.push([done, cells]),
    });
    expect(told.at(-1)).toEqual([19, 19]);
    expect(told.map(([done]) => done)).toEqual([...told.map(([done]) => done)].sort((a, b) => a - b));
    expect(told.length).toBeGreaterThanOrEqual(4);
  });

  test('clean and corrupt run that are the same: no effect, and nothing to normalise by', async () => {
    for (const mode of ['wavefront', 'one-by-one'] as const) {
      const [result] = await sweep(model, [{ ...job, corrupt: job.clean, sites }], { mode });
      for (const { data } of result!.sites)
        for (let i = 0; i < data.length; i += 4)
          expect([...data.slice(i + 1, i + 4)]).toEqual([0, 0, Number.NaN]);
      expectSameBits(result!.logits.clean, result!.logits.corrupt);
    }
  });

  test('of several jobs are those of each', async () => {
    const short = sites.map((site) => ({ ...site, positions: [5, [1, 3]] }));
    const jobs = ['case0', 'case1', 'case2', 'case3'].map((id) => caseJob(golden, id, short));
    const apart = [];
    for (const one of jobs) apart.push(...(await sweep(model, [one])));
    expect(await sweep(model, jobs)).toEqual(apart);
  });
});

describe('a memory budget', () => {
  const many: SweepSite[] = [{ site: Z, heads: true }, { site: 'text_encoder.cross_attn.hook_pattern' }];
  const options: SweepOptions = { repeat: 0 };

  test('splits the sweep and changes no result', async () => {
    const [whole] = await sweep(model, [{ ...job, sites: many }], options);
    const plan = await planSweep(model, [{ ...job, sites: many }]);
    expect(plan.walks).toBe(1);
    const gpu = await testGpu({ memoryBudget: plan.peakBytes });
    const small = await loadFixtureModel('blip-tiny', { gpu });
    const smallPlan = await planSweep(small, [{ ...job, sites: many }]);
    expect(smallPlan.walks).toBeGreaterThan(1);
    // What is in use already counts too.
    const held = await gpu.work((w) => {
      const tensor = w.empty(1, Math.ceil(plan.peakBytes / 4 / 4), 'held');
      w.keep(tensor);
      return tensor;
    });
    expect((await planSweep(small, [{ ...job, sites: many }])).walks).toBeGreaterThan(smallPlan.walks);
    gpu.release(held);
    const [parts] = await sweep(small, [{ ...job, sites: many }], options);
    parts?.sites.forEach(({ data }, i) => {
      expectSameBits(data, whole!.sites[i]!.data);
    });
    expect(parts?.controls?.nullPatches).toBeGreaterThan(whole?.controls?.nullPatches ?? 0);
    expect(gpu.pool.statistics.peakAllocatedBytes).toBeLessThanOrEqual(plan.peakBytes);
    expect(gpu.pool.statistics.usedBytes).toBe(0);
    small.destroy();
  });

  test('too small for one cell is an error that says so', async () => {
    const gpu = await testGpu({ memoryBudget: 60_000 });
    const small = await loadFixtureModel('blip-tiny', { gpu });
    await withoutLeak(gpu, () =>
      expectNoticeError(
        () => sweep(small, [job]),
        'out-of-memory',
        /the patch at text_encoder\.blocks\.0\.attn\.hook_z does not fit the memory budget by itself/,
      ),
    );
    await withoutLeak(gpu, () =>
      expectNoticeError(() => runWithCache(small, [job.clean]), 'out-of-memory', /budget of 60000 bytes/),
    );
    small.destroy();
  });
});
