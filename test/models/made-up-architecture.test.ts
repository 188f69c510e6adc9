// An architecture that does not exist, added as docs/adding-a-model.md says (fresco/), and checked against plain f64
// arithmetic. It is what neither BLIP nor LLaVA is: normalised before, causal, rotary, with grouped key-value heads, and
// attending to the image in every block.
import { beforeAll, expect, test } from 'vitest';
import {
  type ForwardOptions,
  loadModel,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import { runWithCache, runWithHooks, type SweepSite, sweep } from '../../src/patching/index.ts';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { STORED, storedValues } from '../support/stored.ts';
import { loadFresco } from './fresco/fresco.ts';
import { CONFIG, computeInF64, weights } from './fresco/reference.ts';

/** f32 against f64 through five blocks. */
const F32 = 1e-5;
const VOCABULARY = CONFIG.text_config.vocab_size;
const random = new Random(21);

const TENSORS = new Map(
  [...weights].map(([name, tensor]): [string, HostTensor] => [name, { dtype: 'F32', ...tensor }]),
);
const FOLDER = folderWith({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors(TENSORS) });
const FAMILIES = { families: { fresco: loadFresco } };

let model: VisionLanguageModel;
beforeAll(async () => {
  model = await loadModel(await testGpu(), FOLDER, FAMILIES);
});

function sample(length: number): Sample {
  const image = { data: random.vector(3 * 16 * 16), height: 16, width: 16 };
  return { images: [image], ids: Array.from({ length }, () => random.integer(VOCABULARY)) };
}

test('is what f64 arithmetic makes of its weights', async () => {
  const input = sample(7);
  const expected = computeInF64(input);
  const { cache } = await runWithCache(model, [input]);
  expect(cache.names).toEqual(model.hooks.map(({ name }) => name));
  expect(expected.size).toBe(2 + 1 + 3 * 8 + 1);
  for (const [name, values] of expected) expectClose(await cache.read(name), values, { ofMax: F32, name });
  cache.release();
});

test('writes what f64 arithmetic would write, in a batch of unequal lengths', async () => {
  const samples = [sample(3), sample(8)];
  const answers = await model.generate(samples, { maxNewTokens: 6, keepLogits: true });
  answers.forEach(({ ids, logits }, i) => {
    const { images, ids: prompt } = samples[i] as Sample;
    expect(logits.length).toBeGreaterThan(2);
    logits.forEach((row, step) => {
      const whole = computeInF64({ images, ids: [...prompt, ...ids.slice(0, step)] });
      expectClose(row, whole.get('logits') ?? [], { ofMax: F32, name: `step ${step}` });
    });
  });
});

test('a sweep is exact at every site', async () => {
  const clean = sample(6);
  const sites = model.hooks
    .filter(({ name }) => name.includes('.blocks.0.'))
    .map(({ name }): SweepSite => {
      const vision = name.startsWith('vision.');
      return {
        site: name.replace('.blocks.0', ''),
        layers: [1],
        positions: [vision ? 5 : 3, vision ? [0, 9] : [2, 5]],
      };
    });
  const text = { ...clean, ids: clean.ids.map((id, p) => (p === 2 ? (id + 1) % VOCABULARY : id)) };
  for (const corrupt of [{ ...sample(6), ids: clean.ids }, text]) {
    const job = { clean, corrupt, correct: 5, incorrect: 6, sites };
    const [wavefront] = await sweep(model, [job]);
    const [oneByOne] = await sweep(model, [job], { mode: 'one-by-one' });
    expect(wavefront?.controls).toMatchObject({ nullPatches: sites.length, fullRestoration: true });
    wavefront?.sites.forEach(({ site, data }, i) => {
      expectSameBits(oneByOne?.sites[i]?.data as Float32Array, data, { name: site });
      const effect = data.some((value, at) => at % 4 === 2 && value !== 0);
      // The same image gives the same activations of the vision tower and keys and values made of it.
      const sees = !site.startsWith('vision.') && !/cross_attn\.hook_[kv]$/.test(site);
      if (corrupt !== text || sees) expect(effect, site).toBe(true);
    });
  }
});

test.each(STORED)('as %s it is the model of the values stored', async (dtype) => {
  const input = sample(5);
  // Matrix units multiply with floats alone, and round otherwise.
  const gpu = await testGpu({ subgroupMatrices: false });
  const stored = await loadModel(gpu, FOLDER, { ...FAMILIES, dtype });
  const values = folderWith({ 'model.safetensors': await storedValues(FOLDER, dtype) }, FOLDER);
  const written = await loadModel(gpu, values, FAMILIES);
  const [own] = await runWithHooks(stored, [input], {});
  const [expected] = await runWithHooks(written, [input], {});
  expectSameBits(own as Float32Array, expected as Float32Array);
  expect(own).not.toEqual((await runWithHooks(model, [input], {}))[0]);
  for (const made of [stored, written]) made.destroy();
});

test('features of an earlier walk give the same bits', async () => {
  const input = sample(4);
  await model.gpu.work(async (w) => {
    const features = await model.encodeImages(w, input.images);
    const logits = async (options: ForwardOptions) => {
      const { tensor } = await model.forward(w, [new ModelRun(input)], options);
      const [values] = await w.read(tensor);
      return values as Float32Array;
    };
    expectSameBits(await logits({ features }), await logits({}));
  });
});
