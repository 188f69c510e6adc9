// A model with a NaN among its weights computes nothing, and says so wherever a number would be decided.

import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { argmax } from '../../src/models/generation.ts';
import { loadModel, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  firstNotFinite,
  namingNotFinite,
  runWithHooks,
  type SweepMode,
  sweep,
} from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/index.ts';
import { readTensors, writeSafetensors } from '../../src/weights/index.ts';
import { folderWith } from '../support/folder.ts';
import { fixture } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

/** Pixels of an image's side in blip-tiny. */
const SIDE = 48;
const WHERE = 'text_encoder.blocks.1.mlp.hook_pre';

/** A model of the fixture with one weight replaced. */
async function spoiled(value: number): Promise<VisionLanguageModel> {
  const folder = nodeFolder(fixture('blip-tiny'));
  const file = await folder.open('model.safetensors');
  const tensors = await readTensors(file as NonNullable<typeof file>);
  await file?.close();
  const name = 'text_encoder.encoder.layer.1.intermediate.dense.weight';
  const tensor = tensors.get(name);
  if (!(tensor?.data instanceof Float32Array))
    throw new Error(`no f32 tensor ${name} in ${join(...tensors.keys())}`);
  tensor.data[0] = value;
  return loadModel(await testGpu(), folderWith({ 'model.safetensors': writeSafetensors(tensors) }, folder));
}

let sound: VisionLanguageModel;
let model: VisionLanguageModel;
let sample: Sample;
let other: Sample;
beforeAll(async () => {
  sound = await loadModel(await testGpu(), nodeFolder(fixture('blip-tiny')));
  model = await spoiled(Number.NaN);
  const image = { data: new Float32Array(3 * SIDE ** 2).fill(0.5), height: SIDE, width: SIDE };
  sample = { images: [image], ids: [1, 2, 3, 4] };
  other = { images: [image], ids: [1, 2, 5, 4] };
});

const code = (message: RegExp) => ({ code: 'not-finite', message: expect.stringMatching(message) });

test('the first hook point in the order of computation is found', async () => {
  expect(await firstNotFinite(sound, sample)).toBeUndefined();
  expect(await firstNotFinite(model, sample)).toBe(WHERE);
  const values = new Float32Array(1).fill(Number.POSITIVE_INFINITY);
  const target = { hook: 'text_encoder.blocks.0.hook_mlp_out', positions: [1], features: [0, 1] as const };
  const interventions = [add(target, { values })];
  expect(await firstNotFinite(sound, sample, { interventions })).toBe(target.hook);
});

test('no answer is generated, not even an empty one', async () => {
  await expect(model.generate([sample])).rejects.toMatchObject(
    code(/logits of the answer's token 0 are not finite/),
  );
  const named = namingNotFinite(
    model,
    () => [{ name: 'x.png', sample }],
    () => model.generate([sample]),
  );
  await expect(named).rejects.toMatchObject(
    code(new RegExp(`^x\\.png: values are not finite from ${WHERE} on`)),
  );
});

test.each(['wavefront', 'one-by-one'] as SweepMode[])('no cell is measured (%s)', async (mode) => {
  const job = {
    clean: sample,
    corrupt: other,
    correct: 1,
    incorrect: 2,
    sites: [{ site: 'text_encoder.hook_mlp_out' }],
  };
  await expect(sweep(model, [job], { mode })).rejects.toMatchObject(
    code(new RegExp(`^pair 0, clean run: values are not finite from ${WHERE} on`)),
  );
});

test('one forward pass gives its logits as they are', async () => {
  const [logits] = await runWithHooks(model, [sample], {});
  expect(logits?.some(Number.isNaN)).toBe(true);
  expect(argmax(logits as Float32Array)).toBe(0); // which is why nobody may ask
});
