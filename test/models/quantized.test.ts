import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OutOfMemoryError } from '../../src/gpu/index.ts';
import { loadModel, planModel, type VisionLanguageModel } from '../../src/models/index.ts';
import { runWithHooks, sweep } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

describe.each(['llava-tiny', 'llava-tiny-gqa'])('%s as nf4', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder, { dtype: 'nf4' });
  });
  afterAll(() => model.destroy());

  test('logits of every prompt', async () => {
    const names = golden.names('').filter((name) => name.endsWith('/logits_nf4_weights'));
    expect(names).toHaveLength(8);
    for (const name of names) {
      const [id, run] = name.split('/') as [string, 'clean' | 'corrupt'];
      const [logits] = await runWithHooks(model, [golden.sample(id, run)], {});
      expectClose(logits ?? [], golden.get(name).data, { ofMax: GOLDEN, name });
    }
  });
});

test.each(['nf4', 'int8'] as const)(
  'a sweep of %s weights is that of one patch after another',
  async (dtype) => {
    const golden = await Golden.open('llava-tiny');
    const model = await loadFixtureModel('llava-tiny', { dtype });
    const [{ id, correct_token: correct, incorrect_token: incorrect }] = golden.cases as [
      (typeof golden.cases)[0],
    ];
    const [clean, corrupt] = [golden.sample(id, 'clean'), golden.sample(id, 'corrupt')];
    const last = clean.ids.length - 1;
    const sites = [
      { site: 'language.attn.hook_z', heads: true, positions: [last] },
      { site: 'language.hook_mlp_out', positions: [last - 1, last] },
    ];
    const job = { clean, corrupt, correct, incorrect, sites };
    const [fast] = await sweep(model, [job]);
    const [slow] = await sweep(model, [job], { mode: 'one-by-one' });
    for (const [i, { data }] of (fast?.sites ?? []).entries())
      expectSameBits(data, slow?.sites[i]?.data as Float32Array);
    model.destroy();
  },
);

describe('a model that does not fit', () => {
  const source = nodeFolder(fixture('llava-tiny'));

  test('is refused before anything is loaded, with what other types would take', async () => {
    const gpu = await testGpu();
    const { bytes } = await planModel(gpu, source);
    const refused = loadModel(gpu, source, { maxWeightBytes: bytes - 1 });
    await expect(refused).rejects.toThrow(OutOfMemoryError);
    await expect(refused).rejects.toThrow(
      /^the weights of .*llava-tiny take .* GiB, the largest buffer .* GiB \(.*\); .* GiB are available\. They would take .* as int8, .* as nf4/,
    );
    const small = await loadModel(gpu, source, { maxWeightBytes: bytes - 1, dtype: 'nf4' });
    small.destroy();
  });

  test.each([undefined, 'f16', 'nf4', 'int8'] as const)(
    'the plan for %s is what is then taken',
    async (dtype) => {
      const gpu = await testGpu();
      const options = dtype ? { dtype } : {};
      const plan = await planModel(gpu, source, options);
      let announced = 0;
      const model = await loadModel(gpu, source, {
        ...options,
        onPlan: ({ bytes }) => {
          announced = bytes;
        },
      });
      expect(announced).toBe(plan.bytes);
      // A model holds tables of its own (rotary angles) besides.
      expect(model.weightBytes).toBeGreaterThanOrEqual(plan.bytes);
      expect(plan.largest.bytes).toBe(Math.max(...plan.buffers.map(({ bytes }) => bytes)));
      model.destroy();
    },
  );
});
