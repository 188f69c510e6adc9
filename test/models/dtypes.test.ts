// Every family with weights stored as f16, bf16, NF4 and int8: it is the f32 model of the values that are stored, and answers
// with its cache as without.

import { expect, test } from 'vitest';
import {
  loadModel,
  type Sample,
  type VisionLanguageModel,
  type WeightDtype,
} from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  type HostTensor,
  type ModelSource,
  readTensors,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { int8, nf4, roundToBf16, roundToF16, toRows } from '../reference/index.ts';
import { expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, Golden, TINY_MODELS } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

type Stored = Exclude<WeightDtype, 'f32'>;

/** Matrices that are no linear layers, which bitsandbytes leaves as they are, and the output head. */
const NOT_LINEAR = /embed|lm_head|predictions\.decoder|query_tokens|mm_input_projection/;

/** What the references make of one matrix. */
const VALUES: Readonly<Record<Stored, (values: Float32Array, columns: number) => ArrayLike<number>>> = {
  f16: (values) => Array.from(values, roundToF16),
  bf16: (values) => Array.from(values, roundToBf16),
  nf4: (values) => nf4(values).values,
  int8: (values, columns) => int8(toRows(values, columns)).values,
};

/** The model's file with the values that `dtype` stores, as f32. */
async function storedValues(source: ModelSource, dtype: Stored): Promise<Uint8Array> {
  const file = await source.open('model.safetensors');
  if (!file) throw new Error(`${source.name} has no weights`);
  const quantised = dtype === 'nf4' || dtype === 'int8';
  const tensors = [...(await readTensors(file))].map(([name, tensor]): [string, HostTensor] => {
    const axes = tensor.shape.filter((size) => size > 1).length;
    // Vectors stay f32. The newline of LLaVA-NeXT is a row of features, and stored like those.
    const stored = quantised
      ? axes === 2 && !NOT_LINEAR.test(name)
      : axes > 1 || name.endsWith('image_newline');
    if (!stored) return [name, tensor];
    const values = VALUES[dtype](asFloat32(tensor, name), tensor.shape.at(-1) as number);
    return [name, { dtype: 'F32', shape: tensor.shape, data: Float32Array.from(values) }];
  });
  await file.close();
  return writeSafetensors(new Map(tensors));
}

/** Logits of the answer's first tokens, and the answer. */
async function answer(model: VisionLanguageModel, sample: Sample) {
  const [found] = await model.generate([sample], { maxNewTokens: 3, keepLogits: true });
  return found as NonNullable<typeof found>;
}

test.each(
  TINY_MODELS.flatMap((folder) =>
    (['f16', 'bf16', 'nf4', 'int8'] as const).map((dtype) => [folder, dtype] as const),
  ),
)('%s as %s', async (folder, dtype) => {
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
});
