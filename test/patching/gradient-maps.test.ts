// Grad-CAM, input × gradient and relevance: what torch's autograd gives (test/fixtures/gradient-maps).

import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import {
  gradCam,
  logit,
  logitDifference,
  type MapGrid,
  type Metric,
  relevance,
  runWithHooks,
  saliency,
} from '../../src/patching/index.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { asFloat32, type HostTensor, readTensors } from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';
import { fixture, Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

/** Of a map's largest value: f32 on the way up and back against float64. */
const AUTOGRAD = 2e-4;
/** The terms of a patch's sum are up to ten times as large as it. */
const CANCELS = 5;

const valuesOf = (grids: readonly MapGrid[]) => grids.flatMap(({ data }) => [...data]);

let expected: Map<string, HostTensor>;
beforeAll(async () => {
  const file = await fileSource(fixture('gradient-maps/maps.safetensors'));
  expected = await readTensors(file);
  await file.close();
});

describe.each([
  ['blip-tiny', [2, 5]],
  ['llava-tiny', [30, 53]],
] as const)('%s', (folder, from) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let metric: Metric;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    const { correct_token: correct, incorrect_token: incorrect } = golden.case('case0');
    metric = logitDifference(correct, incorrect);
  });
  const sample = () => golden.sample('case0', 'clean');

  function expectMap(actual: ArrayLike<number>, name: string, times = 1) {
    const values = asFloat32(expected.get(`${folder}/${name}`) as HostTensor, name);
    const largest = Math.max(...values.map(Math.abs));
    expect(largest).toBeGreaterThan(0);
    expectClose(actual, values, { atol: times * AUTOGRAD * largest, name });
  }

  test('Grad-CAM of a block, from all positions and from some', async () => {
    const all = await withoutLeak(model.gpu, () => gradCam(model, sample(), { metric, layer: 1 }));
    expectMap(valuesOf(all.grids), 'gradcam');
    const [logits] = (await runWithHooks(model, [sample()], {})) as [Float32Array];
    const { correct, incorrect } = metric as { correct: number; incorrect: number };
    expect(all.value).toBe(Math.fround((logits[correct] as number) - (logits[incorrect] as number)));
    const some = await gradCam(model, sample(), { metric, layer: 2, from });
    expectMap(valuesOf(some.grids), 'gradcam_from');
    const [grid] = some.grids as [MapGrid];
    expect(grid.rows * grid.columns).toBe(grid.data.length);
  });

  test('input × gradient of patches and of pixels', async () => {
    const patches = await withoutLeak(model.gpu, () => saliency(model, sample(), { metric }));
    expectMap(valuesOf(patches.grids), 'patches', CANCELS);
    const pixels = await withoutLeak(model.gpu, () => saliency(model, sample(), { metric, of: 'pixels' }));
    const [image] = pixels.images;
    expect(image?.data.length).toBe((image?.height ?? 0) * (image?.width ?? 0));
    expectMap(image?.data ?? [], 'pixels');
  });

  test('relevance', async () => {
    const found = await withoutLeak(model.gpu, () => relevance(model, sample(), { metric }));
    expectMap(valuesOf(found.grids), 'relevance');
  });

  test('what cannot be', async () => {
    await expectNoticeError(
      () => gradCam(model, sample(), { metric, layer: 9 }),
      'hook',
      /block 9 does not exist/,
    );
    await expectNoticeError(
      () => gradCam(model, sample(), { metric, layer: 0, from: 400 }),
      'hook',
      /position 400 does not exist/,
    );
    await expectNoticeError(
      () => gradCam(model, sample(), { metric, layer: 0, attention: 'text_decoder.cross_attn' }),
      'hook',
      /no key of text_decoder\.cross_attn is a patch/,
    );
  });
});

test('a Q-Former has no relevance; packed images have no pixels', async () => {
  for (const [folder, make, code, message] of [
    ['instructblip-tiny', relevance, 'usage', /relevance is not defined through qformer\.cross_attn/],
    [
      'qwen2_vl-tiny',
      (...[model, sample, options]: Parameters<typeof relevance>) =>
        saliency(model, sample, { ...options, of: 'pixels' }),
      'image',
      /packed into patches/,
    ],
  ] as const) {
    const golden = await Golden.open(folder);
    const model = await loadFixtureModel(folder);
    const sample = golden.sample('case0', 'clean');
    await expectNoticeError(() => make(model, sample, { metric: logit(3) }), code, message);
    const { grids } = await saliency(model, sample, { metric: logit(3) });
    expect(valuesOf(grids).some((value) => value !== 0)).toBe(true);
    model.destroy();
  }
});
