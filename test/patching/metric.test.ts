// Sweeps that are measured by a metric of the user's.

import { beforeAll, describe, expect, test } from 'vitest';
import type { NoticeError } from '../../src/errors.ts';
import { ModelRun, type VisionLanguageModel } from '../../src/models/index.ts';
import { type Checked, checkControls } from '../../src/patching/controls.ts';
import {
  logit,
  logitDifference,
  logProbability,
  type Metric,
  planSweep,
  probability,
  replace,
  runWithHooks,
  type SweepJob,
  type SweepOptions,
  type SweepSite,
  sweep,
  weighted,
  zero,
} from '../../src/patching/index.ts';
import { metricValue } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { caseJob, expectNoticeError, withoutLeak } from './support.ts';

const HEADS: SweepSite = {
  site: 'text_encoder.cross_attn.hook_z',
  heads: true,
  positions: [3, [4, 5]],
  layers: [1],
};
const POSITIONS = [0, 2];
const MLP: SweepSite = { site: 'text_encoder.hook_mlp_out', positions: POSITIONS, layers: [1] };

/** Vocabulary of blip-tiny. */
const VOCABULARY = 187;
const metricsOf = ({ correct, incorrect }: SweepJob): Metric[] => [
  logitDifference(correct, incorrect),
  logit(incorrect),
  probability(correct),
  logProbability(correct),
  weighted(new Random(1).vector(VOCABULARY)),
];

let golden: Golden;
let model: VisionLanguageModel;
let job: SweepJob;
/** The same job with each metric. */
let jobs: readonly SweepJob[];
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  job = caseJob(golden, 'case0', [HEADS, MLP]);
  jobs = metricsOf(job).map((metric) => ({ ...job, metric }));
});

const dataOf = async (jobs: readonly SweepJob[], options: SweepOptions = {}) =>
  (await sweep(model, jobs, { repeat: 0, ...options })).map(({ sites }) => sites.map(({ data }) => data));

test.each(['case0', 'case2'])('each metric is as the logits of the runs have it (%s)', async (id) => {
  const one = caseJob(golden, id, [HEADS, MLP]);
  const metrics = metricsOf(one);
  const results = await sweep(
    model,
    metrics.map((metric) => ({ ...one, metric })),
    { repeat: 0 },
  );
  const patched: Float32Array[] = [];
  for (const position of POSITIONS) {
    const target = { hook: 'text_encoder.blocks.1.hook_mlp_out', run: 1, positions: [position] };
    const interventions = [replace(target, { run: 0 })];
    patched.push((await runWithHooks(model, [one.clean, one.corrupt], { interventions }))[1]!);
  }
  for (const [i, metric] of metrics.entries()) {
    const { sites, baseline, logits } = results[i]!;
    const [heads, mlp] = sites;
    expect(heads!.shape).toEqual([1, heads!.heads, 2, 2]);
    expect(mlp!.shape).toEqual([1, 2, 2]);
    // Logits of some units round at 2⁻²¹, a sum over the vocabulary likewise at its size.
    const close = { atol: 1e-5, rtol: 1e-5, name: metric.kind };
    const clean = metricValue(logits.clean, metric);
    const corrupt = metricValue(logits.corrupt, metric);
    const { metric: measured } = baseline;
    expectClose([measured!.clean, measured!.corrupt], [clean, corrupt], close);
    const expected = patched.map((values) => metricValue(values, metric));
    expectClose(
      mlp!.data,
      expected.flatMap((value) => [value, value - corrupt]),
      close,
    );
    // The second number is the difference of what is given, in f32.
    for (const { data } of sites)
      for (let at = 0; at < data.length; at += 2)
        expect(data[at + 1]).toBe(Math.fround(data[at]! - measured!.corrupt));
  }
});

test('a wavefront, its parts and one by one have the same bits with each metric', async () => {
  const wavefront = await dataOf(jobs);
  for (const sites of wavefront)
    expect(sites.flatMap((data) => [...data]).some((value) => value !== 0)).toBe(true);
  expect(await dataOf(jobs, { mode: 'one-by-one' })).toEqual(wavefront);
  expect(await dataOf(jobs, { cellsPerWalk: 7 })).toEqual(wavefront);
});

test('each metric is controlled, in its own unit; walks that split a pair agree', async () => {
  const whole = await sweep(model, jobs, { repeat: 1 });
  const parts = await sweep(model, jobs, { repeat: 0, cellsPerWalk: 4 });
  for (const [i, { controls }] of whole.entries()) {
    expect(controls).toMatchObject({ nullPatches: 2, fullRestoration: true });
    expect(controls!.noiseFloorMetric).toBeGreaterThan(0);
    expect(controls!.noiseFloorMetric).toBeLessThan(1e-4);
    expect(parts[i]!.controls!.noiseFloorMetric).toBe(controls!.noiseFloorMetric);
  }
  expect(whole[0]!.controls!.noiseFloorMetric).toBe(whole[0]!.controls!.noiseFloor);
});

test('a null patch that changes nothing but the metric is found', () => {
  const [run, logits] = [new ModelRun(job.clean), new Float32Array(1)];
  const check: Checked = {
    kind: 'null',
    pair: 3,
    run,
    interventions: [zero({ hook: 'h' })],
    effect: new Float32Array(4),
    metricEffect: 0.5,
    logits,
  };
  expect(() => checkControls([check], logits)).toThrow(
    'pair 3: a null patch at h changed the metric by 0.5 instead of 0',
  );
});

test('the logit difference and the probability are those of the four numbers', async () => {
  const column = (data: Float32Array, width: number, c: number) => data.filter((_, i) => i % width === c);
  const [four, difference, , p] = await dataOf([job, ...jobs]);
  four!.forEach((data, site) => {
    expectSameBits(column(difference![site]!, 2, 1), column(data, 4, 2));
    expectSameBits(column(p![site]!, 2, 0), column(data, 4, 0));
    expectSameBits(column(p![site]!, 2, 1), column(data, 4, 1));
  });
});

test('each job has its own, or that of the sweep, or none', async () => {
  const other = caseJob(golden, 'case2', [MLP]);
  const own = { ...job, metric: logit(7) };
  const alone = async (one: SweepJob) => (await dataOf([one]))[0];
  expect(await dataOf([own, other])).toEqual([await alone(own), await alone(other)]);
  expect(await dataOf([own, other], { metric: logProbability(9) })).toEqual([
    await alone(own),
    await alone({ ...other, metric: logProbability(9) }),
  ]);
  const [, without] = await sweep(model, [own, other], { repeat: 0 });
  expect(without!.sites[0]!.shape).toEqual([1, 2, 4]);
  expect(without!.baseline).not.toHaveProperty('metric');
  expect(without!.controls!.noiseFloorMetric).toBeUndefined();
});

test('the plan counts the product with the weights', async () => {
  const [none, one, two] = [
    await planSweep(model, [job]),
    await planSweep(model, [job], { metric: logit(3) }),
    await planSweep(model, [job], { metric: weighted(new Float32Array(VOCABULARY)) }),
  ];
  expect([one.dispatches, two.dispatches]).toEqual([none.dispatches + 1, none.dispatches + 1]);
  expect(one.flops).toBe(none.flops);
  // Clean and corrupt run, cells, two null patches, restoration and rounding.
  expect(two.flops - none.flops).toBe(2 * VOCABULARY * (2 + none.cells + 4));
});

test('a metric that overflows is not a number of the sweep', async () => {
  const weights = new Float32Array(VOCABULARY).fill(3e38);
  await withoutLeak(model.gpu, () =>
    expectNoticeError(
      () => sweep(model, [job], { metric: weighted(weights) }),
      'not-finite',
      /pair 0: the metric of the clean run is (NaN|-?Infinity)/,
    ),
  );
});

/** As if it came from JavaScript. */
const odd = (metric: unknown) => metric as Metric;
const spoiled = (value: number) => new Float32Array(VOCABULARY).fill(value, 5, 6);

describe('refused, by the sweep and by its plan', () => {
  test.each<[string, Metric, NoticeError['code'], RegExp]>([
    [
      'a token that does not exist',
      logit(187),
      'usage',
      /pair 0, metric: the token is 187, .* from 0 to 186/,
    ],
    ['half a token', probability(0.5), 'usage', /the token is 0\.5/],
    ['no token', odd({ kind: 'log-probability' }), 'usage', /the token is undefined/],
    ['a correct token', logitDifference(-1, 2), 'usage', /the correct answer's token is -1/],
    ['an incorrect token', logitDifference(1, 300), 'usage', /the incorrect answer's token is 300/],
    ['one token twice', logitDifference(4, 4), 'usage', /pair 0, metric: both answers have the token 4/],
    ['too few weights', weighted(new Float32Array(5)), 'shape', /weights has 5 values, expected 187/],
    ['weights of doubles', odd({ kind: 'weights', weights: [1] }), 'usage', /weights is .* a Float32Array/],
    ['NaN', weighted(spoiled(Number.NaN)), 'usage', /weights\[5\] is NaN, expected a finite/],
    ['infinity', weighted(spoiled(Number.POSITIVE_INFINITY)), 'usage', /weights\[5\] is Infinity/],
    [
      'a kind',
      odd({ kind: 'rank', token: 1 }),
      'usage',
      /the kind is "rank", expected "logit-difference" or/,
    ],
    ['a field', odd({ kind: 'logit', tokens: 1 }), 'usage', /has no field "tokens"/],
    ['another’s field', odd({ ...logit(1), correct: 1 }), 'usage', /has no field "correct"; .* kind, token$/],
    ['a function', odd(() => 0), 'usage', /pair 0, metric is a function, expected an object/],
    ['null', odd(null), 'usage', /pair 0, metric is null/],
  ])('%s', async (_, metric, code, message) => {
    for (const run of [sweep, planSweep])
      for (const [jobs, options] of [
        [[job], { metric }],
        [[{ ...job, metric }], {}],
      ] as const)
        await withoutLeak(model.gpu, () => expectNoticeError(() => run(model, jobs, options), code, message));
  });
});
