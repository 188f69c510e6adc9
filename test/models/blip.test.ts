import { beforeAll, describe, expect, test, vi } from 'vitest';
import { loadModel, type VisionLanguageModel } from '../../src/models/index.ts';
import { generateWithHooks, runWithCache, runWithHooks, scale } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { asFloat32, writeSafetensors } from '../../src/weights/index.ts';
import { tensorsOf } from '../cli/support.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
});

const NOT_HOOKS = ['input_ids', 'pixel_values', 'generate_logits', 'logits'];

describe.each(['case0', 'case1', 'case2', 'case3'])('%s', (id) => {
  test.each(['clean', 'corrupt'] as const)('every activation of the %s run', async (run) => {
    const names = golden.names(`${id}/${run}/`);
    const { logits, cache } = await runWithCache(model, [golden.sample(id, run)]);
    expectClose(logits?.[0] ?? [], golden.get(`${id}/${run}/logits`).data, { ofMax: GOLDEN, name: 'logits' });
    let compared = 0;
    for (const full of names) {
      const name = full.slice(`${id}/${run}/`.length);
      if (NOT_HOOKS.includes(name)) continue;
      const { shape, data } = golden.get(full);
      expect(cache.get(name).shape, name).toEqual([1, ...shape]);
      expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
      compared++;
    }
    cache.release();
    // The first case's clean run has all of them, others what the blocks of each tower write.
    expect(compared).toBeGreaterThan(id === 'case0' && run === 'clean' ? 150 : 30);
  });
});

test('the pattern is the softmax of the scores', async () => {
  const { cache } = await runWithCache(model, [golden.sample('case0', 'clean')], {
    names: ['text_encoder.blocks.1.cross_attn.hook_{attn_scores,pattern}'],
  });
  const name = 'text_encoder.blocks.1.cross_attn';
  const scores = await cache.read(`${name}.hook_attn_scores`);
  const pattern = await cache.read(`${name}.hook_pattern`);
  const keys = cache.get(`${name}.hook_pattern`).shape[3] as number;
  for (let first = 0; first < scores.length; first += keys) {
    const row = [...scores.subarray(first, first + keys)];
    const largest = Math.max(...row);
    const total = row.reduce((sum, s) => sum + Math.exp(s - largest), 0);
    expectClose(
      pattern.subarray(first, first + keys),
      row.map((s) => Math.exp(s - largest) / total),
      { atol: 1e-6 },
    );
  }
  cache.release();
});

test('a batch of unequal lengths gives each row what it gives alone, bit for bit', async () => {
  const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
  const together = await runWithHooks(model, samples, {});
  for (const [i, sample] of samples.entries())
    expect(together[i]).toEqual((await runWithHooks(model, [sample], {}))[0]);
});

test('generates what Hugging Face generates', async () => {
  const runs = golden.cases.flatMap((c) => [{ ...c.clean, id: c.id }]);
  const answers = await model.generate(
    runs.map(({ id }) => golden.sample(id, 'clean')),
    { maxNewTokens: 10, keepLogits: true },
  );
  answers.forEach((answer, i) => {
    const expected = (runs[i]?.generated_ids ?? []).slice(1);
    const text = expected.at(-1) === 6 ? expected.slice(0, -1) : expected;
    expect(answer.ids).toEqual(text);
    const { data } = golden.get(`${runs[i]?.id}/clean/generate_logits`);
    expectClose(
      answer.logits.flatMap((row) => [...row]),
      data,
      { ofMax: GOLDEN, name: 'generate_logits' },
    );
  });
});

test('an answer that does not end has 20 tokens, unless something else is asked for', async () => {
  const [answer] = await model.generate([golden.sample('case0', 'clean')], { sample: () => 50 });
  expect(answer).toMatchObject({ ids: new Array(20).fill(50), stopped: false });
});

test('answers in groups that fit the memory budget are the same', async () => {
  const samples = golden.cases.flatMap(({ id }) => [
    golden.sample(id, 'clean'),
    golden.sample(id, 'corrupt'),
  ]);
  const memoryBudget = 600_000;
  const gpu = await testGpu({ memoryBudget });
  const small = await loadFixtureModel('blip-tiny', { gpu });
  const work = vi.spyOn(gpu, 'work');
  gpu.pool.resetPeak();
  const options = { maxNewTokens: 3, keepLogits: true };
  const inGroups = await small.generate(samples, options);
  expect(work.mock.calls.length).toBeGreaterThan(1);
  expect(work.mock.calls.length).toBeLessThan(samples.length);
  work.mockRestore();
  expect(gpu.pool.statistics.peakUsedBytes).toBeLessThan(memoryBudget);
  expect(inGroups).toEqual(await model.generate(samples, options));
});

test('padding: left out with a mask, attending without', async () => {
  const ids = [...golden.get('padding/input_ids').data];
  const mask = [...golden.get('padding/attention_mask').data];
  const image = golden.image('case0', 'clean');
  const kept = ids.map((id, place) => ({ id, place })).filter(({ place }) => mask[place] === 1);
  const masked = { images: [image], ids: kept.map(({ id }) => id), places: kept.map(({ place }) => place) };
  const [withMask, without] = await runWithHooks(model, [masked, { images: [image], ids }], {});
  expectClose(withMask ?? [], golden.get('padding/logits_with_mask').data, { ofMax: GOLDEN });
  expectClose(without ?? [], golden.get('padding/logits_without_mask').data, { ofMax: GOLDEN });
});

test('generates with interventions, in the question and in every new token', async () => {
  const sample = golden.sample('case0', 'clean');
  const steps = { maxNewTokens: 3, keepLogits: true };
  const [plain] = await model.generate([sample], steps);
  for (const hook of ['text_encoder.blocks.1.cross_attn.hook_z', 'text_decoder.blocks.0.hook_mlp_out']) {
    const interventions = [scale({ hook }, -2)];
    const [answer] = await generateWithHooks(model, [sample], { ...steps, interventions });
    const [first] = await runWithHooks(model, [sample], { interventions });
    expectSameBits(answer?.logits[0] as Float32Array, first as Float32Array);
    expect(answer?.logits[0]).not.toEqual(plain?.logits[0]);
  }
});

describe.each(['blip-tiny-f16', 'blip-tiny-sharded'])('%s', (folder) => {
  test('logits', async () => {
    const other = await loadFixtureModel(folder);
    const reference = folder === 'blip-tiny-sharded' ? golden : await Golden.open(folder, 'blip-tiny');
    for (const { id } of golden.cases) {
      const [logits] = await runWithHooks(other, [golden.sample(id, 'clean')], {});
      const name = `${id}/clean/logits`;
      expectClose(logits ?? [], reference.get(name).data, { ofMax: GOLDEN, name });
    }
    other.destroy();
  });
});

test.each(['word_embeddings', 'position_embeddings'])(
  'a folder of f16 whose %s are f32 is that of f16',
  async (table) => {
    const below = nodeFolder(fixture('blip-tiny-f16'));
    const tensors = await tensorsOf(fixture('blip-tiny-f16/model.safetensors'));
    for (const [name, tensor] of tensors)
      if (name.includes(table)) {
        expect(tensor.dtype).toBe('F16');
        tensors.set(name, { dtype: 'F32', shape: tensor.shape, data: asFloat32(tensor, name) });
      }
    const mixed = await loadModel(
      await testGpu(),
      folderWith({ 'model.safetensors': writeSafetensors(tensors) }, below),
    );
    const plain = await loadFixtureModel('blip-tiny-f16');
    const sample = golden.sample('case0', 'clean');
    const [a] = await runWithHooks(mixed, [sample], {});
    const [b] = await runWithHooks(plain, [sample], {});
    expectSameBits(a!, b!);
    mixed.destroy();
    plain.destroy();
  },
);
