// Pictures and questions to what transformers' processors make of them, with the tokenizers and chat templates of the folders.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Processor, type Sample, type VisionLanguageModel } from '../../../src/models/index.ts';
import type { InputTensors, SampleTensors } from '../../../src/models/sample-tensors.ts';
import { runWithHooks } from '../../../src/patching/index.ts';
import { nodeFolder } from '../../../src/platform/node/files.ts';
import { readImage } from '../../../src/platform/node/images.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { fixture, GOLDEN, Golden, type GoldenRun, loadFixtureModel } from '../../support/golden.ts';

describe.each(['instructblip-tiny', 'llava_next-tiny', 'llava_onevision-tiny'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let processor: Processor;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    processor = await Processor.load(model, nodeFolder(fixture(folder)));
  });
  afterAll(() => model.destroy());

  async function sampleOf(run: GoldenRun): Promise<Sample> {
    return processor.sample(await readImage(fixture(`${folder}/${run.image}`)), run.question as string);
  }

  test('pixel values, token ids and the instruction of every case', async () => {
    for (const { id, clean, corrupt } of golden.cases) {
      for (const [side, run] of Object.entries({ clean, corrupt })) {
        if (!run) continue;
        const { images, ids, instruction } = await sampleOf(run);
        expect(ids, id).toEqual([...golden.get(`${id}/${side}/input_ids`).data]);
        const words = `${id}/${side}/qformer_input_ids`;
        expect(instruction).toEqual(golden.has(words) ? [...golden.get(words).data] : undefined);
        const pixels = `${id}/${side}/pixel_values`;
        if (golden.has(pixels))
          expectSameBits(images[0]?.data as Float32Array, golden.get(pixels).data, { name: pixels });
      }
    }
  });

  test('the logits of such a sample', async () => {
    for (const { id, clean } of golden.cases) {
      const [logits] = await runWithHooks(model, [await sampleOf(clean)], {});
      expectClose(logits ?? [], golden.get(`${id}/clean/logits`).data, { ofMax: GOLDEN, name: id });
    }
  });

  test('as tensors of a file and back', async () => {
    const samples = await Promise.all(golden.cases.slice(0, 2).map(({ clean }) => sampleOf(clean)));
    const read = model.tensors.read(
      fileOf(model.tensors, samples),
      samples.map(({ ids }) => ids),
    );
    samples.forEach(({ images, instruction }, i) => {
      const [image] = read[i]?.images ?? [];
      expectSameBits(image?.data as Float32Array, images[0]?.data as Float32Array);
      expect(image?.tiles).toEqual(images[0]?.tiles);
      expect(read[i]?.instruction).toEqual(instruction);
    });
  });
});

/** What a family writes, as a file that it reads. */
function fileOf(tensors: SampleTensors, samples: readonly Sample[]): InputTensors {
  const written = new Map(tensors.write(samples).map((tensor) => [tensor.name, tensor]));
  expect([...written.keys()]).toEqual(tensors.names);
  const get = (name: string) => {
    const found = written.get(name);
    if (!found) throw new Error(`no tensor ${name}`);
    return found;
  };
  return {
    has: (name) => written.has(name),
    floats: (name) => ({ shape: get(name).shape, data: get(name).data as Float32Array }),
    integers: (name) => ({ shape: get(name).shape, data: [...get(name).data] }),
    fail: (message) => {
      throw new Error(message);
    },
  };
}
