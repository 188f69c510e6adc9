// Every family with weights stored as f16, bf16, NF4 and int8: it is the f32 model of the values that are stored, and answers
// with its cache as without.

import { expect, test } from 'vitest';
import { loadModel, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, Golden, TINY_MODELS } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { STORED, storedValues } from '../support/stored.ts';

/** Logits of the answer's first tokens, and the answer. */
async function answer(model: VisionLanguageModel, sample: Sample) {
  const [found] = await model.generate([sample], { maxNewTokens: 3, keepLogits: true });
  return found as NonNullable<typeof found>;
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
    expect(own.ids).toEqual(expected.ids);
    // Kernels unpack what is stored and multiply in f32 in the same order: there is nothing to tolerate.
    own.logits.forEach((row, i) => {
      expectSameBits(row, expected.logits[i] as Float32Array, { name: `token ${i}` });
    });
    written.destroy();
    if (model.answers === 'continuation')
      for (const [i, row] of own.logits.entries()) {
        const ids = [...sample.ids, ...own.ids.slice(0, i)];
        const [whole] = await runWithHooks(model, [{ ...sample, ids, promptEnd: sample.ids.length }], {});
        expectSameBits(row, whole as Float32Array, { name: `token ${i} without the cache` });
      }
    model.destroy();
  },
);
