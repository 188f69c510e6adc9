// What TypeScript forbids but JavaScript can hand over: refused before anything is computed of it.

import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import {
  type GenerateOptions,
  loadModel,
  Processor,
  patchGrids,
  type Sample,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import {
  type CustomHook,
  generateWithHooks,
  type Intervention,
  planSweep,
  replace,
  runWithCache,
  runWithHooks,
  type SweepJob,
  sweep,
  zero,
} from '../../src/patching/index.ts';
import { nodeFolder, openGpu, readImage } from '../../src/platform/node/index.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture, loadFixtureModel } from '../support/golden.ts';

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

test('one image may stand alone, at every door, with the same result', async () => {
  const { images, ids } = sample;
  const alone = { image: images[0]!, ids };
  const [expected] = await runWithHooks(model, [sample], {});
  expectSameBits((await runWithHooks(model, [alone], {}))[0]!, expected!);
  const { logits, cache } = await runWithCache(model, [alone], { names: Z });
  cache.release();
  expectSameBits(logits![0]!, expected!);
  const whole = await model.generate([sample], { maxNewTokens: 2 });
  expect(await model.generate([alone], { maxNewTokens: 2 })).toEqual(whole);
  expect(await generateWithHooks(model, [alone], { maxNewTokens: 2 })).toEqual(whole);
  expect(patchGrids(model, alone)).toEqual(patchGrids(model, sample));
  const short = { ...job, clean: alone, corrupt: { image: images[0]!, ids: job.corrupt.ids } };
  expect(await sweep(model, [short])).toEqual(await sweep(model, [job]));
  expect(await planSweep(model, [short, short])).toEqual(await planSweep(model, [job, job]));
  // Values of a wrong length are found as ever.
  const image = { ...images[0]!, data: new Float32Array(5) };
  await expect(runWithHooks(model, [{ image, ids }], {})).rejects.toMatchObject(
    refusal(/image 0: data has 5 values/, 'shape'),
  );
});

test("a processor's sample has its image by name, unless there are several", async () => {
  const processor = await Processor.load(model, nodeFolder(fixture('blip-tiny')));
  const picture = await readImage(fileURLToPath(new URL('../../data/faces/000_clean.png', import.meta.url)));
  const made = processor.sample(picture, 'is it?');
  expect(made.image).toBe(made.images[0]);
  expect({ ...made }).toEqual({ images: made.images, ids: made.ids });
  // No family here reads several.
  expect(() => processor.sample([picture, picture], 'is it?')).toThrow(/one image/);
});

test.each([
  ['nothing', undefined, /sample 0 is undefined, expected \{ images, ids \}, or \{ image, ids \}/],
  ['no image', { ids: [1] }, /sample 0 has no images, expected/],
  ['both forms', { image: {}, images: [{}], ids: [1] }, /sample 0 has both image and images/],
  ['images that are no list', { images: {}, ids: [1] }, /sample 0: images is an Object, expected a list/],
  ['no ids', { images: [] }, /prompt's token ids is undefined, expected a list/],
])('a sample that is %s', async (_, given, message) => {
  const odd = untyped<Sample>(given);
  await expect(runWithHooks(model, [odd], {})).rejects.toMatchObject(refusal(message));
  await expect(model.generate([odd])).rejects.toMatchObject(refusal(message));
  await expect(sweep(model, [{ ...job, clean: odd }])).rejects.toMatchObject(refusal(message));
  await expect(runWithHooks(model, untyped(odd), {})).rejects.toMatchObject(refusal(/samples is/));
});

test.each([undefined, null, '1', 1.5, -1, Number.NaN, 1e9, Promise.resolve(1)])(
  'a sampler that chooses %s',
  async (token) => {
    const options = { sample: () => untyped<number>(token) };
    await expect(model.generate([sample], options)).rejects.toMatchObject(
      refusal(/^the token that sample\(\) chose is .*, expected a whole number from 0 to \d+$/),
    );
  },
);

test.each([
  [{ callback: () => [1, 2, 3] }, /what the callback returned is an Array, expected a Float32Array/],
  [{ callback: async () => 'x' }, /what the callback returned is "x"/],
  [{ callback: (data: Float32Array) => new Float64Array(data) }, /returned is a Float64Array/],
  [{ callback: 'x' }, /callback is "x", expected a function/],
  [{ wgsl: 1 }, /wgsl is 1, expected a text/],
  [{}, /needs either wgsl or a callback/],
  [{ wgsl: 'return value;', callback: () => undefined }, /needs either wgsl or a callback/],
  [{ wgsl: 'return value;', positions: [1] }, /a hook has no field "positions"/],
])('a hook of %o', async (odd, message) => {
  const hooks = [untyped<CustomHook>({ hook: Z, ...odd })];
  await expect(runWithHooks(model, [sample], { hooks })).rejects.toMatchObject(refusal(message));
  await expect(generateWithHooks(model, [sample], { hooks })).rejects.toMatchObject(refusal(message));
});

test('a signal that is none', async () => {
  const options = { signal: untyped<AbortSignal>({ aborted: false }) };
  const refused = refusal(/signal is an Object, expected an AbortSignal/);
  await expect(runWithHooks(model, [sample], options)).rejects.toMatchObject(refused);
  await expect(model.generate([sample], options)).rejects.toMatchObject(refused);
  await expect(sweep(model, [job], options)).rejects.toMatchObject(refused);
  await expect(sweep(model, [job], { ...options, mode: 'one-by-one' })).rejects.toMatchObject(refused);
  await expect(planSweep(model, [job], options)).rejects.toMatchObject(refused);
  await expect(loadModel(model.gpu, nodeFolder(fixture('blip-tiny')), options)).rejects.toMatchObject(
    refused,
  );
});

test('what is no function, and no name', async () => {
  const no = untyped<undefined>('x');
  await expect(model.generate([sample], { onToken: no })).rejects.toMatchObject(refusal(/onToken is "x"/));
  await expect(model.generate([sample], { sample: no })).rejects.toMatchObject(refusal(/sample is "x"/));
  await expect(sweep(model, [job], { onProgress: no })).rejects.toMatchObject(refusal(/onProgress is "x"/));
  const sites = [{ site: 'text_encoder.hook_mlp_out', source: () => untyped<string>(5) }];
  await expect(sweep(model, [{ ...job, sites }])).rejects.toMatchObject(refusal(/a hook point is 5/));
  await expect(runWithCache(model, [sample], { names: untyped<string>(5) })).rejects.toMatchObject(
    refusal(/a hook point is 5, expected a text/),
  );
  const load = loadModel(model.gpu, nodeFolder(fixture('blip-tiny')), { onPlan: no });
  await expect(load).rejects.toMatchObject(refusal(/onPlan is "x"/));
});

test.each([
  [(bytes: Uint8Array) => bytes.subarray(1), /: read\(\d+, \d+\) gave \d+ bytes$/],
  [() => 'x', /: read\(\d+, \d+\) gave no Uint8Array$/],
])('a source of weights that gives something else than asked for', async (change, message) => {
  const below = nodeFolder(fixture('blip-tiny'));
  const source = {
    name: below.name,
    open: async (file: string) => {
      const bytes = await below.open(file);
      if (!bytes || file === 'config.json') return bytes;
      const read = async (offset: number, length: number) =>
        untyped<Uint8Array<ArrayBuffer>>(change(await bytes.read(offset, length)));
      return { ...bytes, read, close: () => bytes.close() };
    },
  };
  await expect(loadModel(model.gpu, source)).rejects.toMatchObject(refusal(message, 'weights'));
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
