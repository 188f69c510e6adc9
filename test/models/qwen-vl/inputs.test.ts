// From a picture and a question, by the files of the folder alone, to what Hugging Face's processor makes of them.

import { beforeAll, describe, expect, test } from 'vitest';
import { Processor, patchGrids, type VisionLanguageModel } from '../../../src/models/index.ts';
import { nodeFolder, readImage } from '../../../src/platform/node/index.ts';
import { expectSameBits } from '../../support/close.ts';
import { fixture, Golden, type GoldenRun, loadFixtureModel } from '../../support/golden.ts';

describe.each(['qwen2_vl-tiny', 'qwen2_5_vl-tiny', 'qwen3_vl-tiny'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let processor: Processor;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    processor = await Processor.load(model, nodeFolder(fixture(folder)));
  });

  test('picture and question to a sample, by the chat template', async () => {
    for (const one of golden.cases)
      for (const side of ['clean', 'corrupt'] as const) {
        const run = one[side] as GoldenRun;
        const picture = await readImage(fixture(`${folder}/${run.image}`));
        const sample = processor.sample(picture, run.question as string);
        const expected = golden.sample(one.id, side);
        expect(sample.ids).toEqual(expected.ids);
        expect(sample.image.patches).toEqual(expected.images[0]?.patches);
        expectSameBits(sample.image.data, expected.images[0]?.data as Float32Array);
      }
  });

  test('two pictures in one prompt', async () => {
    const [a, b] = await Promise.all(
      ['clean', 'corrupt'].map((side) => readImage(fixture(`${folder}/images/case0_${side}.png`))),
    );
    const sample = processor.sample([a, b] as NonNullable<typeof a>[], 'Which is older?');
    const features = sample.images.map((image) => model.featureCount(image));
    expect(sample.ids.filter((id) => id === model.imageToken)).toHaveLength(
      features.reduce((sum, count) => sum + count, 0),
    );
    const [answer] = await model.generate([sample], { maxNewTokens: 2 });
    expect(answer?.ids.length).toBeGreaterThan(0);
  });

  test('features lie on the picture row by row', async () => {
    const picture = await readImage(fixture(`${folder}/images/case0_clean.png`));
    const sample = processor.sample(picture, 'Is it red?');
    const { rows = 0, columns = 0 } = sample.image.patches ?? {};
    const first = sample.ids.indexOf(model.imageToken as number);
    expect(patchGrids(model, sample)).toEqual([
      {
        ...{ image: 0, rows: rows / 2, columns: columns / 2, box: [0, 0, picture.width, picture.height] },
        keys: Array.from({ length: (rows * columns) / 4 }, (_, i) => first + i),
      },
    ]);
  });

  test('an image for plans has the prompt room for it', () => {
    const blank = model.blankImage();
    const { ids } = processor.prompt('Is it red?', [blank]);
    expect(ids.filter((id) => id === model.imageToken)).toHaveLength(model.featureCount(blank));
    expect(processor.prompt('Is it red?').ids).toEqual(ids);
  });
});
