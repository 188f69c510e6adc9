import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type ImageInput,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { promptPlaces } from '../../../src/models/qwen-vl/layout.ts';
import type { InputTensors, OutputTensor } from '../../../src/models/sample-tensors.ts';
import { coordinatesOf } from '../../../src/models/tower/index.ts';
import { runWithHooks } from '../../../src/patching/index.ts';
import { expectSameBits } from '../../support/close.ts';
import { fixture, type Golden, type GoldenRun } from '../../support/golden.ts';
import { type Family, type Opened, testFamily } from '../../support/golden-family.ts';

const FAMILIES: Family[] = [
  { folder: 'qwen2_vl-tiny', activations: 60 },
  { folder: 'qwen2_5_vl-tiny', activations: 90 },
  { folder: 'qwen3_vl-tiny', activations: 110, otherTables: ['deepstack_block'] },
];

for (const family of FAMILIES) testFamily(family, (opened) => testQwen(family.folder, opened));

function testQwen(folder: string, opened: Opened): void {
  let runs: { name: string; run: GoldenRun; sample: Sample }[];
  let model: VisionLanguageModel;
  let golden: Golden;
  beforeAll(() => {
    ({ model, golden } = opened);
    runs = golden.cases.flatMap((c) =>
      (['clean', 'corrupt'] as const).map((side) => ({
        name: `${c.id}/${side}`,
        run: c[side] as GoldenRun,
        sample: golden.sample(c.id, side),
      })),
    );
  });

  test('position ids', () => {
    for (const { name, sample } of runs) {
      const { data, shape } = golden.get(`${name}/position_ids`);
      const { ids, next } = promptPlaces(sample, 2, {
        imageToken: model.imageToken as number,
        videoToken: -1,
      });
      const coordinates = ids.map(coordinatesOf);
      const [, length] = shape as [number, number];
      expect(
        [0, 1, 2].flatMap((axis) => coordinates.map((at) => at[axis])),
        name,
      ).toEqual([...data]);
      expect(next - length, name).toBe(golden.get(`${name}/rope_delta`).data[0]);
    }
  });

  test('room for the features of an image', () => {
    for (const { name, run, sample } of runs)
      expect(model.expand(run.input_ids, sample.images).ids, name).toEqual(run.expanded_input_ids);
  });

  test('with its cache a step gives the bits of a forward pass over the whole text', async () => {
    const { sample } = runs[0] as (typeof runs)[number];
    const [answer] = await model.generate([sample], { maxNewTokens: 4, keepLogits: true });
    const { ids = [], logits = [] } = answer ?? {};
    expect(logits.length).toBeGreaterThan(1);
    for (const [step, row] of logits.entries()) {
      const longer = { ...sample, ids: [...sample.ids, ...ids.slice(0, step)] };
      const [whole] = await runWithHooks(model, [longer], {});
      expectSameBits(row, whole as Float32Array, { name: `step ${step}` });
    }
  });

  test('samples are the same from a file', () => {
    const samples = runs.slice(0, 3).map(({ sample }) => sample);
    const file = new Map(model.tensors.write(samples).map((tensor) => [tensor.name, tensor]));
    expect([...file.keys()]).toEqual(model.tensors.names);
    const read = (ids: readonly (readonly number[])[], altered: Record<string, object> = {}) =>
      model.tensors.read(inputsOf(file, altered), ids);
    const whole = samples.map(({ ids }) => ids);
    expect(read(whole)).toEqual(samples.map(({ images }) => ({ images })));
    // So are prompts that have one token for each image.
    expect(read(runs.slice(0, 3).map(({ run }) => run.input_ids))).toEqual(read(whole));
    expect(() => read(whole.slice(0, 2))).toThrow(/has 3 images, the prompts' tokens .* are of 2/);
    const video = Int32Array.from(file.get('image_grid_thw')?.data ?? []).fill(2, 0, 1);
    expect(() => read(whole, { image_grid_thw: { data: video } })).toThrow(/2 frames for image 0/);
    const [rows = 0] = file.get('pixel_values')?.shape ?? [];
    expect(() => read(whole, { pixel_values: { shape: [rows + 4, 96] } })).toThrow(
      /expected pixel_values \[/,
    );
  });

  test('features of an earlier walk give the same bits', async () => {
    const samples = runs.map(({ sample }) => sample);
    const { gpu } = model;
    const images = [...new Set(samples.flatMap((sample) => sample.images))] as ImageInput[];
    const modelRuns = () => samples.map((sample) => new ModelRun(sample));
    const both = await gpu.work(async (w) => {
      const own = await w.read((await model.forward(w, modelRuns())).tensor);
      const features = await model.encodeImages(w, images);
      const reused = await w.read((await model.forward(w, modelRuns(), { features })).tensor);
      return [own[0], reused[0]] as [Float32Array, Float32Array];
    });
    expectSameBits(...both);
  });

  describe('what does not belong together is refused', () => {
    let sample: Sample;
    beforeAll(() => {
      ({ sample } = runs[0] as (typeof runs)[number]);
    });
    const fails = (altered: Sample, message: RegExp) =>
      expect(runWithHooks(model, [altered], {})).rejects.toThrow(message);

    test('image tokens and images', async () => {
      const image = sample.images[0] as ImageInput;
      const token = model.imageToken as number;
      const first = sample.ids.indexOf(token);
      await fails({ ...sample, ids: sample.ids.toSpliced(first, 1) }, /features; the model's expand/);
      await fails({ ...sample, images: [image, image] }, /features of 1 images .* not of 2/);
      await fails({ ...sample, images: [] }, /in a row for image 0 of 0/);
      await fails({ ...sample, ids: [...sample.ids, token] }, /for image 1 of 1/);
      const parted = sample.ids.with(first + 1, 5).with(0, token);
      await fails({ ...sample, ids: parted }, /features; the model's expand/);
    });

    test('position ids that are not those of the images', async () => {
      const places = sample.ids.map((_, p) => p);
      const [expected] = await runWithHooks(model, [sample], {});
      const [shifted] = await runWithHooks(model, [{ ...sample, places: places.map((p) => p + 3) }], {});
      expectSameBits(shifted as Float32Array, expected as Float32Array);
      await fails({ ...sample, places: places.with(4, 9) }, /makes position ids/);
    });

    test('a video', async () => {
      const file = readFileSync(fixture(`${folder}/config.json`), 'utf8');
      const { video_token_id: video } = JSON.parse(file) as { video_token_id: number };
      await fails(
        { ...sample, ids: sample.ids.with(0, video) },
        /a video \(token id \d+\); only images are read/,
      );
    });

    test('pixels, and patches that do not make features', async () => {
      const image = sample.images[0] as ImageInput;
      const { patches, ...pixels } = image;
      await fails({ ...sample, images: [pixels] }, /reads patches/);
      const odd = {
        ...image,
        patches: { rows: 1, columns: (image.patches?.rows ?? 0) * (patches?.columns ?? 0) },
      };
      await fails({ ...sample, images: [odd] }, /image 0: 1 rows of patches, expected a multiple of 2/);
      await fails(
        { ...sample, images: [{ ...image, data: image.data.with(7, Number.NaN) }] },
        /pixel value 7 is NaN/,
      );
      await fails({ ...sample, images: [{ ...image, data: image.data.subarray(1) }] }, /image 0: data/);
    });
  });
}

/** Tensors as a file gives them. */
function inputsOf(file: ReadonlyMap<string, OutputTensor>, altered: Record<string, object>): InputTensors {
  const get = (name: string) => ({ ...(file.get(name) as OutputTensor), ...altered[name] });
  return {
    has: (name) => file.has(name),
    floats: (name) => ({ shape: get(name).shape, data: Float32Array.from(get(name).data) }),
    integers: (name) => ({ shape: get(name).shape, data: [...get(name).data] }),
    fail: (message) => {
      throw new Error(message);
    },
  };
}
