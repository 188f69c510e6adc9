// Pictures in Gemma 3's prompts: the text that stands for one, where its features lie, and how they stand in files.

import { type FeatureGrid, type ImageInput, tileCount } from '../image-input.ts';
import { joined, type SampleTensors } from '../sample-tensors.ts';

/**
 * What the processor writes in place of a picture, or of one that pan-and-scan has cut: the whole of it, then its crops.
 *
 * @param features of a picture or crop
 */
export function imageText(image: Pick<ImageInput, 'tiles'>, features: number): string {
  const one = `\n\n<start_of_image>${'<image_soft_token>'.repeat(features)}<end_of_image>\n\n`;
  const crops = tileCount(image) - 1;
  if (crops === 0) return one;
  return (
    `Here is the original image ${one} and here are some crops to help you see better ` +
    new Array<string>(crops).fill(one).join(' ')
  );
}

/** A grid of the whole picture, and of each crop: equal strips along the longer side, the last perhaps smaller. */
export function featureGrids({ tiles, picture }: ImageInput, side: number): FeatureGrid[] {
  const grid = { rows: side, columns: side };
  const { rows = 0, columns = 0 } = tiles ?? {};
  const count = rows * columns;
  const length = (rows > 1 ? picture?.height : picture?.width) ?? count;
  const step = Math.ceil(length / count);
  const crops = Array.from({ length: count }, (_, i): FeatureGrid => {
    const [from, to] = [(i * step) / length, Math.min((i + 1) * step, length) / length];
    return { ...grid, first: (i + 1) * side ** 2, area: rows > 1 ? [0, from, 1, to] : [from, 0, to, 1] };
  });
  return [{ ...grid, first: 0 }, ...crops];
}

/**
 * `pixel_values` [picture, 3, height, width] of all prompts, crops being pictures as well; a prompt has as many as its image
 * tokens ask for.
 */
export function pictureTensors(imageToken: number, features: number): SampleTensors {
  return {
    names: ['pixel_values'],
    write: (samples) => {
      const images = samples.flatMap((sample) => sample.images);
      const { height, width } = images[0] as ImageInput;
      const count = images.reduce((sum, image) => sum + tileCount(image), 0);
      return [
        {
          name: 'pixel_values',
          shape: [count, 3, height, width],
          data: joined(images.map(({ data }) => data)),
        },
      ];
    },
    read: (file, prompts) => {
      const { shape, data } = file.floats('pixel_values', 4);
      const [count, channels, height, width] = shape as [number, number, number, number];
      const size = 3 * height * width;
      const counts = prompts.map((ids) => ids.filter((id) => id === imageToken).length / features);
      const expected = counts.reduce((sum, n) => sum + n, 0);
      if (count !== expected || channels !== 3 || !counts.every(Number.isInteger))
        file.fail(
          `expected pixel_values [${expected}, 3, height, width] by the image tokens, ${features} for each picture; ` +
            `found [${shape.join(', ')}]`,
        );
      let next = 0;
      return counts.map((n) => ({
        images: Array.from({ length: n }, () => {
          const at = size * next++;
          return { data: data.subarray(at, at + size), height, width };
        }),
      }));
    },
  };
}
