// Samples in files, as transformers' processors of LLaVA-NeXT and LLaVA-OneVision write them.

import { bestResolution } from '../../inputs/index.ts';
import { type ImageInput, tileCount } from '../image-input.ts';
import type { InputTensors, SampleTensors } from '../sample-tensors.ts';
import type { LlavaNextConfig } from './config.ts';

/**
 * `pixel_values` [image, tile, 3, height, width], filled up with zeros where an image has fewer tiles than others, and
 * `image_sizes` [image, 2], heights and widths in pixels. One image with each prompt, or all with the only one.
 */
export function anyresTensors(config: Pick<LlavaNextConfig, 'resolutions' | 'vision'>): SampleTensors {
  return {
    names: ['pixel_values', 'image_sizes'],
    write: (samples) => {
      const images = samples.flatMap((sample) => sample.images);
      const side = config.vision.imageSize;
      const most = Math.max(...images.map(tileCount));
      const size = 3 * side ** 2;
      const data = new Float32Array(images.length * most * size);
      images.forEach((image, i) => {
        data.set(image.data, i * most * size);
      });
      const sizes = images.flatMap(({ picture, height, width }) =>
        picture ? [picture.height, picture.width] : [height, width],
      );
      return [
        { name: 'pixel_values', shape: [images.length, most, 3, side, side], data },
        { name: 'image_sizes', dtype: 'I32', shape: [images.length, 2], data: Int32Array.from(sizes) },
      ];
    },
    read: (file, prompts) => {
      const images = imagesOf(file, config);
      if (prompts.length === 1) return [{ images }];
      if (images.length !== prompts.length)
        file.fail(`expected an image for each of ${prompts.length} prompts, found ${images.length}`);
      return images.map((image) => ({ images: [image] }));
    },
  };
}

function imagesOf(
  file: InputTensors,
  { resolutions, vision }: Pick<LlavaNextConfig, 'resolutions' | 'vision'>,
): ImageInput[] {
  const { shape, data } = file.floats('pixel_values', 5);
  const [count, most, channels, height, width] = shape as [number, number, number, number, number];
  const sizes = file.integers('image_sizes', 2);
  const side = vision.imageSize;
  if (channels !== 3 || height !== side || width !== side || `${sizes.shape}` !== `${[count, 2]}`)
    file.fail(
      `expected pixel_values [image, tile, 3, ${side}, ${side}] and image_sizes [image, 2], found ` +
        `[${shape.join(', ')}] and [${sizes.shape.join(', ')}]`,
    );
  const size = 3 * side ** 2;
  return Array.from({ length: count }, (_, i): ImageInput => {
    const picture = { height: sizes.data[2 * i] as number, width: sizes.data[2 * i + 1] as number };
    const best = bestResolution(picture, resolutions);
    // Several pictures in one prompt are not cut.
    const [rows, columns] = most === 1 ? [0, 0] : [best.height / side, best.width / side];
    const tiles = { rows, columns, overview: 'first' } as const;
    const first = i * most * size;
    if (tileCount({ tiles }) > most)
      file.fail(
        `image ${i} of ${picture.width}×${picture.height} pixels has ${tileCount({ tiles })} tiles, found ${most}`,
      );
    return {
      data: data.subarray(first, first + tileCount({ tiles }) * size),
      height: side,
      width: side,
      tiles,
      picture,
    };
  });
}
