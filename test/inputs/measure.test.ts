// What a picture's size alone says of what the model reads.
import { expect, test } from 'vitest';
import { ImageProcessor } from '../../src/inputs/index.ts';
import { fixturePath, readJsonFile } from './support.ts';

const FAMILIES = [
  'smolvlm',
  'qwen2_5_vl',
  'qwen3_vl',
  'gemma3',
  'paligemma',
  'llava_next',
  'llava_onevision',
  'blip',
];

test.each(FAMILIES)('%s: measured as processed', (family) => {
  const config = readJsonFile<unknown>(fixturePath(`${family}-tiny/preprocessor_config.json`));
  const processor = ImageProcessor.from(config);
  for (const [width, height] of [
    [40, 40],
    [130, 70],
    [33, 150],
    [200, 61],
  ] as const) {
    const picture = { width, height, data: new Uint8Array(3 * width * height) };
    const { data, ...processed } = processor.process(picture).pixelValues;
    const measured = processor.measure({ width, height });
    expect(data.length).toBeGreaterThan(0);
    expect(measured).toEqual({ ...processed, data: new Float32Array(0) });
  }
});
