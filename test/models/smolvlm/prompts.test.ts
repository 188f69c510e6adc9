// From pictures and texts to what the model reads, as transformers' processors make it.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ImageInput, Processor, type VisionLanguageModel } from '../../../src/models/index.ts';
import { fileSource, nodeFolder } from '../../../src/platform/node/files.ts';
import { readImage } from '../../../src/platform/node/images.ts';
import { type ModelSource, readJson, readTensors } from '../../../src/weights/index.ts';
import { expectSameBits } from '../../support/close.ts';
import { folderWith } from '../../support/folder.ts';
import { fixture, Golden, type GoldenRun, loadFixtureModel } from '../../support/golden.ts';

interface Run extends GoldenRun {
  readonly question: string;
  readonly expanded_input_ids: readonly number[];
}

async function withOptions(source: ModelSource, options: object | undefined): Promise<ModelSource> {
  if (!options) return source;
  const file = 'preprocessor_config.json';
  return folderWith({ [file]: { ...((await readJson(source, file)) as object), ...options } }, source);
}

describe.each(['smolvlm-tiny', 'idefics3-tiny'])('%s', (folder) => {
  const source = nodeFolder(fixture(folder));
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
  });

  test('pixel values, tokens and positions of every case', async () => {
    for (const one of golden.cases) {
      const options = one.processor_options as object | undefined;
      const processor = await Processor.load(model, await withOptions(source, options));
      for (const side of ['clean', 'corrupt'] as const) {
        const run = one[side] as Run;
        const picture = await readImage(fixture(`${folder}/${run.image}`));
        const { images, ids } = processor.sample(picture, run.question);
        const pixels = `${one.id}/${side}/pixel_values`;
        const expected = golden.get(golden.has(pixels) ? pixels : `${one.id}/clean/pixel_values`);
        expectSameBits(images[0]?.data as Float32Array, expected.data, {
          name: pixels,
          shape: expected.shape,
        });
        expect(ids, run.text).toEqual(run.expanded_input_ids);
        // A whole prompt is taken as it is.
        const { encoded, positions, ids: same } = processor.prompt(run.text, images);
        expect(same).toEqual(ids);
        expect(encoded.ids).toEqual(run.input_ids);
        const image = run.input_ids.indexOf(model.imageToken as number);
        expect(positions[image]).toBe(one.image_token_position);
        positions.forEach((position, i) => {
          expect(ids[position], `${one.id}, token ${i}`).toBe(run.input_ids[i]);
        });
        expect(positions).toEqual([...positions].sort((a, b) => a - b));
      }
    }
  });

  test('marks that are no tokens of the checkpoint are plain text', async () => {
    const tokenizer = (await readJson(source, 'tokenizer.json')) as { added_tokens: { content: string }[] };
    const isMark = ({ content }: { content: string }) => /^<(row_|global-img)/.test(content);
    const config = (await readJson(source, 'tokenizer_config.json')) as {
      added_tokens_decoder?: Record<string, { content: string }>;
    };
    const decoder = Object.entries(config.added_tokens_decoder ?? {}).filter(([, token]) => !isMark(token));
    const plain = folderWith(
      {
        'tokenizer.json': {
          ...tokenizer,
          added_tokens: tokenizer.added_tokens.filter((token) => !isMark(token)),
        },
        'tokenizer_config.json': { ...config, added_tokens_decoder: Object.fromEntries(decoder) },
      },
      source,
    );
    const processor = await Processor.load(model, plain);
    const image = golden.image('case0', 'clean');
    const run = golden.case('case0').clean as Run;
    const { encoded, ids, positions } = processor.prompt(run.text, [image]);
    expect(ids.length).toBeGreaterThan(run.expanded_input_ids.length);
    expect(ids.filter((id) => id === model.imageToken)).toHaveLength(model.featureCount(image));
    const first = encoded.ids.indexOf(model.imageToken as number);
    expect(positions[first]).toBe(ids.indexOf(model.imageToken as number));
    positions.forEach((position, i) => {
      expect(ids[position]).toBe(encoded.ids[i]);
    });
    const text = processor.tokenizer.decode([...ids], { skipSpecialTokens: false });
    expect(text).toContain('<row_1_col_2>');
    expect(text).toContain('<global-img>');
  });
});

test('two pictures: the n-th where the n-th <image> stands', async () => {
  const model = await loadFixtureModel('smolvlm-tiny');
  const processor = await Processor.load(model, nodeFolder(fixture('smolvlm-tiny')));
  const { pictures, text, unexpanded } = JSON.parse(readFileSync(fixture('smolvlm-two/case.json'), 'utf8'));
  const images: ImageInput[] = [];
  for (const picture of pictures as string[])
    images.push(processor.image(await readImage(fixture(`smolvlm-tiny/images/${picture}`)), picture, 2));
  const { encoded, ids } = processor.prompt(text, images);
  expect(encoded.ids).toEqual(unexpanded);
  const file = await fileSource(fixture('smolvlm-two/golden.safetensors'));
  const golden = await readTensors(file);
  await file.close();
  expect(ids).toEqual(Array.from(golden.get('input_ids')?.data as ArrayLike<number>, Number));
  const pixels = golden.get('pixel_values')?.data as Float32Array;
  expectSameBits(Float32Array.from(images.flatMap(({ data }) => [...data])), pixels);
  expect(() => processor.prompt(text, images.slice(0, 1))).toThrow(
    /<image> 2 times; .* of which there are 1/,
  );
});
