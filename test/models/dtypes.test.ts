// Every family with weights stored as f16, bf16, NF4 and int8: it is the f32 model of the values that are stored, and answers
// with its cache as without.

import { expect, test } from 'vitest';
import { loadModel, ModelRun, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, Golden, TINY_MODELS } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { STORED, storedValues } from '../support/stored.ts';

/** No model's stop token: every answer has a step with the cache. */
const TOKEN = 7;

/** Logits of the answer's first two tokens. */
async function answer(model: VisionLanguageModel, sample: Sample): Promise<readonly Float32Array[]> {
  const options = { maxNewTokens: 2, keepLogits: true, sample: () => TOKEN };
  const [found] = await model.generate([sample], options);
  expect(found?.logits).toHaveLength(2);
  return found?.logits ?? [];
}

/** The same by passes over prompt and answer. */
async function continued(model: VisionLanguageModel, sample: Sample): Promise<Float32Array[]> {
  const longer = { ...sample, ids: [...sample.ids, TOKEN], promptEnd: sample.ids.length };
  return runWithHooks(model, [sample, longer], {});
}

/** The same by one pass of a decoder over the answer. */
function decoded(model: VisionLanguageModel, sample: Sample): Promise<Float32Array[]> {
  return model.gpu.work(async (w) => {
    const run = new ModelRun(sample);
    const { tensor, rowOf } = await model.forward(w, [run], { answer: [TOKEN, TOKEN] });
    const [data] = await w.read(tensor);
    return [0, 1].map((token) => {
      const first = rowOf(run, token) * model.vocabulary;
      return (data as Float32Array).slice(first, first + model.vocabulary);
    });
  });
}

test.each(TINY_MODELS.flatMap((folder) => STORED.map((dtype) => [folder, dtype] as const)))(
  '%s as %s',
  async (folder, dtype) => {
    const source = nodeFolder(fixture(folder));
    const golden = await Golden.open(folder);
    const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
    const sample = samples.reduce((a, b) => (b.ids.length < a.ids.length ? b : a));
    // Matrix units multiply with floats alone, and round otherwise.
    const gpu = await testGpu({ subgroupMatrices: false });
    const model = await loadModel(gpu, source, { dtype });
    const values = { 'model.safetensors': await storedValues(source, dtype) };
    const written = await loadModel(gpu, folderWith(values, source));
    expect(model.weightBytes).toBeLessThan(written.weightBytes);
    const [own, expected] = [await answer(model, sample), await answer(written, sample)];
    // Kernels unpack what is stored and multiply in f32 in the same order: there is nothing to tolerate.
    own.forEach((row, i) => {
      expectSameBits(row, expected[i] as Float32Array, { name: `token ${i}` });
    });
    written.destroy();
    const whole = model.answers === 'decoder' ? decoded(model, sample) : continued(model, sample);
    (await whole).forEach((row, i) => {
      expectSameBits(own[i] as Float32Array, row, { name: `token ${i} without the cache` });
    });
    model.destroy();
  },
);
