// What TypeScript forbids but JavaScript can hand over: refused before anything is computed of it.

import { beforeAll, expect, test } from 'vitest';
import type { GenerateOptions, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type Intervention,
  replace,
  runWithHooks,
  type SweepJob,
  sweep,
  zero,
} from '../../src/patching/index.ts';
import { openGpu } from '../../src/platform/node/index.ts';
import { loadFixtureModel } from '../support/golden.ts';

/** Pixels of an image's side in blip-tiny. */
const SIDE = 48;
const Z = 'text_encoder.blocks.0.attn.hook_z';

let model: VisionLanguageModel;
let sample: Sample;
let job: SweepJob;
beforeAll(async () => {
  model = await loadFixtureModel('blip-tiny');
  const image = { data: new Float32Array(3 * SIDE ** 2), height: SIDE, width: SIDE };
  sample = { images: [image], ids: [1, 2, 3] };
  const corrupt = { images: [image], ids: [1, 4, 3] };
  job = {
    clean: sample,
    corrupt,
    correct: 1,
    incorrect: 2,
    sites: [{ site: 'text_encoder.hook_mlp_out', layers: [0] }],
  };
});

const refusal = (message: RegExp, code = 'usage') => ({ code, message: expect.stringMatching(message) });
/** As if it came from JavaScript. */
const untyped = <T>(value: unknown) => value as T;

test.each([
  ['half a token', { ids: [1, 1.5] }, /prompt's token ids\[1\] is 1\.5/, 'usage'],
  ['ids that are no list', { ids: 'abc' }, /prompt's token ids is "abc", expected a list/, 'usage'],
  ['half a place', { places: [0, 0.5, 1] }, /position ids\[1\] is 0\.5/, 'usage'],
] as const)('a sample with %s', async (_, change, message, code) => {
  const odd = untyped<Sample>({ ...sample, ...change });
  await expect(runWithHooks(model, [odd], {})).rejects.toMatchObject(refusal(message, code));
  await expect(model.generate([odd])).rejects.toMatchObject(refusal(message, code));
});

test('pixels of another number or type', async () => {
  const run = (data: unknown) =>
    runWithHooks(
      model,
      [{ ...sample, images: [{ height: SIDE, width: SIDE, data: untyped<Float32Array>(data) }] }],
      {},
    );
  const length = 3 * SIDE ** 2;
  for (const wrong of [0, length / 3, length - 1, length + 1, 2 * length])
    await expect(run(new Float32Array(wrong)), String(wrong)).rejects.toMatchObject(
      refusal(new RegExp(`image 0: data has ${wrong} values, expected ${length}`), 'shape'),
    );
  await expect(run(new Float64Array(length))).rejects.toMatchObject(
    refusal(/is a Float64Array, expected a Float32Array/),
  );
  await expect(run(new Array(length).fill(0))).rejects.toMatchObject(
    refusal(/is an Array, expected a Float32Array/),
  );
});

test.each([-1, 0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5'])(
  'maxNewTokens %s',
  async (maxNewTokens) => {
    await expect(model.generate([sample], untyped<GenerateOptions>({ maxNewTokens }))).rejects.toMatchObject(
      refusal(/^maxNewTokens is .*, expected a whole number from 1$/),
    );
  },
);

test('an answer longer than the model has positions', async () => {
  await expect(model.generate([sample], { maxNewTokens: 100_000 })).rejects.toMatchObject(
    refusal(/may take 100000 positions/, 'text'),
  );
});

test.each([
  ['a misspelt field', { ...zero({ hook: Z }), position: [1] }, /no field "position"/],
  ['an unknown operation', { hook: Z, op: 'nothing' }, /op is "nothing", expected "replace" or/],
  [
    'positions that are no list',
    zero({ hook: Z, positions: untyped<number[]>(1) }),
    /positions is 1, expected a list/,
  ],
  ['a set of positions', zero({ hook: Z, positions: untyped<number[]>(new Set([1])) }), /positions is a Set/],
  [
    'f64 values',
    replace({ hook: Z }, { values: untyped<Float32Array>(new Float64Array(20)) }),
    /values is a Float64Array/,
  ],
  [
    'integer values',
    replace({ hook: Z }, { values: untyped<Float32Array>(new Int32Array(20)) }),
    /values is an Int32Array/,
  ],
  ['a list of values', replace({ hook: Z }, { values: untyped<Float32Array>([1, 2]) }), /values is an Array/],
])('an intervention with %s', async (_, intervention, message) => {
  const interventions = [untyped<Intervention>(intervention)];
  await expect(runWithHooks(model, [sample], { interventions })).rejects.toMatchObject(refusal(message));
});

test.each([
  [{ mode: 'x' }, /mode is "x", expected "wavefront" or "one-by-one"/],
  [{ repeat: Number.NaN }, /repeat is NaN/],
  [{ repeat: -1 }, /repeat is -1/],
  [{ cellsPerWalk: 0 }, /cellsPerWalk is 0, expected a whole number from 1/],
])('a sweep with %o', async (options, message) => {
  await expect(sweep(model, [job], untyped(options))).rejects.toMatchObject(refusal(message));
});

test.each([
  ['the same token twice', { incorrect: 1 }, /both answers have the token 1/],
  [
    'positions that are no list',
    { sites: [{ site: 'text_encoder.hook_mlp_out', positions: 1 }] },
    /positions is 1/,
  ],
  [
    'a misspelt field',
    { sites: [{ site: 'text_encoder.hook_mlp_out', position: [1] }] },
    /no field "position"/,
  ],
])('a job with %s', async (_, change, message) => {
  await expect(sweep(model, [untyped({ ...job, ...change })])).rejects.toMatchObject(refusal(message));
});

test.each([
  [{ memoryBudget: Number.NaN }, /memoryBudget is NaN, expected a positive number/],
  [{ memoryBudget: 0 }, /memoryBudget is 0/],
  [{ adapter: 'gpu' }, /adapter is "gpu", expected "auto" or "hardware" or "software"/],
])('a device with %o', async (options, message) => {
  await expect(openGpu(untyped(options))).rejects.toMatchObject(refusal(message));
});
