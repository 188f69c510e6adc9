import { beforeAll, describe, expect, test } from 'vitest';
import {
  type ImageInput,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { promptPlaces } from '../../../src/models/qwen-vl/layout.ts';
import { coordinatesOf } from '../../../src/models/tower/index.ts';
import { runWithCache, sweep } from '../../../src/patching/index.ts';
import { fileSource } from '../../../src/platform/node/files.ts';
import { type HostTensor, readTensors } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { fixture, GOLDEN, loadFixtureModel } from '../../support/golden.ts';

describe('two pictures of different size in one prompt (Qwen2.5-VL)', () => {
  let model: VisionLanguageModel;
  let sample: Sample;
  let expected: (name: string) => { readonly shape: readonly number[]; readonly data: Float32Array };
  beforeAll(async () => {
    model = await loadFixtureModel('qwen2_5_vl-tiny');
    const file = await fileSource(fixture('qwen2_5_vl-tiny/two_images.safetensors'));
    const tensors = await readTensors(file);
    await file.close();
    expected = (name) => {
      const { shape, data } = tensors.get(name) as HostTensor;
      return { shape, data: Float32Array.from(data as ArrayLike<number>, Number) };
    };
    let at = 0;
    const [, r0 = 0, c0 = 0, , r1 = 0, c1 = 0] = expected('image_grid_thw').data;
    const pixels = expected('pixel_values').data;
    const images = [[r0, c0] as const, [r1, c1] as const].map(([rows, columns]): ImageInput => {
      const data = pixels.slice(at, at + rows * columns * 96);
      at += data.length;
      return { data, height: 4 * rows, width: 4 * columns, patches: { rows, columns } };
    });
    sample = { images, ids: [...expected('input_ids').data] };
  });

  test('activations, logits and answer are those of Hugging Face', async () => {
    const names = model.hooks
      .map(({ name }) => name)
      .filter((name) =>
        /^vision.*(embed|resid_post)$|^language\.hook|^projector.hook_out|^logits$/.test(name),
      );
    const { cache } = await runWithCache(model, [sample], { names });
    for (const name of names) {
      const { shape, data } = expected(name);
      expect(cache.get(name).shape, name).toEqual([1, ...shape]);
      expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
    }
    cache.release();
    const { ids, next } = promptPlaces(sample, 2, { imageToken: model.imageToken as number, videoToken: -1 });
    const places = ids.map(coordinatesOf);
    expect([0, 1, 2].flatMap((axis) => places.map((at) => at[axis]))).toEqual([
      ...expected('position_ids').data,
    ]);
    expect(next - ids.length).toBe(expected('rope_delta').data[0]);
    const [answer] = await model.generate([sample], { maxNewTokens: 8 });
    expect(answer?.ids).toEqual([...expected('generated_ids').data]);
  });

  test('a patched image moves nothing of the other below the language model', async () => {
    const other = [sample.images[0] as ImageInput, negative(sample.images[1] as ImageInput)];
    const first = model.imagePositions(sample.images.slice(0, 1));
    const name = 'vision.blocks.2.hook_resid_post';
    const [a, b] = await Promise.all(
      [sample, { ...sample, images: other }].map(async (of) => {
        const { cache } = await runWithCache(model, [of], { names: name });
        const values = await cache.read(name);
        cache.release();
        return values;
      }),
    );
    const width = (a?.length ?? 0) / model.imagePositions(sample.images);
    expectSameBits(a?.slice(0, first * width) as Float32Array, b?.slice(0, first * width) as Float32Array);
    expect(a?.slice(first * width)).not.toEqual(b?.slice(first * width));
  });

  test('features of an earlier walk give the same bits', async () => {
    const both = await model.gpu.work(async (w) => {
      const [own] = await w.read((await model.forward(w, [new ModelRun(sample)])).tensor);
      const features = await model.encodeImages(w, sample.images);
      const [reused] = await w.read((await model.forward(w, [new ModelRun(sample)], { features })).tensor);
      return [own, reused] as [Float32Array, Float32Array];
    });
    expectSameBits(...both);
  });

  test('a sweep: wavefront equals one by one', async () => {
    const corrupt = {
      ...sample,
      images: [sample.images[0] as ImageInput, negative(sample.images[1] as ImageInput)],
    };
    const sites = ['vision.attn.hook_k', 'vision.hook_mlp_out', 'language.attn.hook_z'].map((site) => ({
      site,
      positions: [3, 61, 70],
    }));
    const jobs = [{ clean: sample, corrupt, correct: 3, incorrect: 4, sites }];
    const [together] = await sweep(model, jobs);
    const [alone] = await sweep(model, jobs, { mode: 'one-by-one' });
    together?.sites.forEach((site, i) => {
      expectSameBits(site.data, alone?.sites[i]?.data as Float32Array, { name: site.site });
    });
  });
});

function negative(image: ImageInput): ImageInput {
  return { ...image, data: image.data.map((value) => -value) };
}
