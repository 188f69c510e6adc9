import { describe, expect, it } from 'vitest';
import { expandImageTokens, ImageProcessor } from '../../src/inputs/index.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { firstDifference, fixturePath, loadTokenizer, readGolden, readJsonFile } from './support.ts';

interface Run {
  readonly text: string;
  readonly image: string;
  readonly input_ids: number[];
  readonly expanded_input_ids?: number[];
  readonly generated_ids: number[];
  readonly generated_text: string;
}

interface Cases {
  readonly image_token_index?: number;
  readonly cases: readonly {
    readonly id: string;
    readonly image_tokens?: number;
    readonly image_token_position?: number;
    readonly clean: Run;
    readonly corrupt: Run;
  }[];
}

describe.each(['blip-tiny', 'llava-tiny', 'llava-tiny-gqa'])('%s: what the model is fed', async (model) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const processor = ImageProcessor.from(readJsonFile(fixturePath(`${model}/preprocessor_config.json`)));
  const { cases, image_token_index } = readJsonFile<Cases>(fixturePath(`${model}/cases.json`));
  const golden = await readGolden(`${model}/golden.safetensors`);

  describe.each(cases)('$id', ({ id, image_tokens, image_token_position, ...runs }) => {
    it.each(['clean', 'corrupt'] as const)('%s', async (name) => {
      const run = runs[name];
      const image = await readImage(fixturePath(`${model}/${run.image}`));
      const { pixelValues } = processor.process(image, run.image);
      const pixels = golden.get(`${id}/${name}/pixel_values`)!;
      expect([3, pixelValues.height, pixelValues.width]).toEqual(pixels.shape);
      expect(firstDifference(pixelValues.data, pixels.data as Float32Array)).toBeUndefined();

      const ids = tokenizer.encode(run.text);
      expect(ids).toEqual(run.input_ids);
      let fed = ids;
      if (image_token_index !== undefined) {
        const expanded = expandImageTokens(ids, image_token_index, [image_tokens!]);
        expect(expanded.ids).toEqual(run.expanded_input_ids);
        expect(expanded.positions[ids.indexOf(image_token_index)]).toBe(image_token_position);
        fed = expanded.ids;
      }
      expect(fed).toEqual([...(golden.get(`${id}/${name}/input_ids`)!.data as Int32Array)]);
      expect(tokenizer.decode(run.generated_ids)).toBe(run.generated_text);
    });
  });
});
