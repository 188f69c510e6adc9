// The images of SmolVLM's and Idefics3's prompts in files: tiles one behind the other, filled up with zeros.

import type { ImageInput } from '../image-input.ts';
import { tileCount } from '../image-input.ts';
import { type InputTensors, joined, type SampleTensors } from '../sample-tensors.ts';

/**
 * `pixel_values` [batch, tile, 3, height, width], and `pixel_attention_mask` [batch, tile, height, width]. A tile of
 * zeros is padding, as transformers takes it: no picture gives one. Files do not say which tiles are of one picture, nor how
 * these lie; all tiles of a prompt are read as one row.
 */
export const TILE_TENSORS: SampleTensors = {
  names: ['pixel_values', 'pixel_attention_mask'],
  write: (samples) => {
    const rows = samples.map(({ images }) => joined(images.map(({ data }) => data)));
    const [{ height, width }] = samples.flatMap(({ images }) => images) as [ImageInput];
    const most = Math.max(
      ...samples.map(({ images }) => images.reduce((n, image) => n + tileCount(image), 0)),
    );
    const pixels = height * width;
    const data = new Float32Array(samples.length * most * 3 * pixels);
    const mask = new Int32Array(samples.length * most * pixels);
    rows.forEach((row, i) => {
      data.set(row, i * most * 3 * pixels);
      mask.fill(1, i * most * pixels, i * most * pixels + row.length / 3);
    });
    return [
      { name: 'pixel_values', shape: [samples.length, most, 3, height, width], data },
      {
        name: 'pixel_attention_mask',
        dtype: 'I32',
        shape: [samples.length, most, height, width],
        data: mask,
      },
    ];
  },
  read: (file, prompts) => {
    const { shape, data } = file.floats('pixel_values', 5);
    const [batch, tiles, channels, height, width] = shape as [number, number, number, number, number];
    if (batch !== prompts.length || channels !== 3)
      file.fail(
        `expected pixel_values [${prompts.length}, tile, 3, height, width] with ${prompts.length} prompts, found [${shape.join(', ')}]`,
      );
    const size = 3 * height * width;
    const kept = prompts.map((_, row) => {
      const own = Array.from({ length: tiles }, (_, t) => row * tiles + t);
      return own.filter((t) => data.subarray(t * size, (t + 1) * size).some((value) => value !== 0));
    });
    checkMask(file, kept.flat(), [batch, tiles, height, width]);
    return kept.map((own) => ({
      images: [
        {
          data: joined(own.map((t) => data.subarray(t * size, (t + 1) * size))),
          height,
          width,
          tiles: { rows: 1, columns: own.length },
        },
      ],
    }));
  },
};

/** A mask that leaves out part of a tile is refused: pictures are always stretched to whole tiles. */
function checkMask(file: InputTensors, tiles: readonly number[], expected: readonly number[]): void {
  if (!file.has('pixel_attention_mask')) return;
  const { shape, data } = file.integers('pixel_attention_mask', 4);
  if (shape.join() !== expected.join())
    file.fail(`expected pixel_attention_mask [${expected.join(', ')}], found [${shape.join(', ')}]`);
  const size = (expected[2] as number) * (expected[3] as number);
  const cut = tiles.find((t) => data.slice(t * size, (t + 1) * size).includes(0));
  if (cut !== undefined)
    file.fail(
      `pixel_attention_mask leaves out pixels of tile ${cut % (expected[1] as number)}; only whole tiles are read`,
    );
}
