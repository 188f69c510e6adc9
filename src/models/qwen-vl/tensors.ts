// The images of Qwen-VL's prompts in files: the patches of all of them one behind the other.

import type { ImageInput } from '../image-input.ts';
import { joined, type SampleTensors } from '../sample-tensors.ts';
import type { QwenConfig } from './config.ts';
import { featureGrid } from './layout.ts';

/**
 * `pixel_values` [patch, values of a patch] and `image_grid_thw` [image, 3]: one frame, rows and columns of patches. Images
 * belong to the prompts in the order of their tokens.
 */
export function packedTensors({ imageToken, vision }: QwenConfig): SampleTensors {
  const { merge, patchSize, patchValues } = vision;
  const features = ({ patches }: ImageInput) => {
    const { rows, columns } = featureGrid(patches ?? { rows: 0, columns: 0 }, merge);
    return rows * columns;
  };
  return {
    names: ['pixel_values', 'image_grid_thw'],
    write: (samples) => {
      const images = samples.flatMap((sample) => sample.images);
      const data = joined(images.map((image) => image.data));
      const grids = images.flatMap(({ patches }) => [1, patches?.rows ?? 0, patches?.columns ?? 0]);
      return [
        { name: 'pixel_values', shape: [data.length / patchValues, patchValues], data },
        { name: 'image_grid_thw', dtype: 'I32', shape: [images.length, 3], data: Int32Array.from(grids) },
      ];
    },
    read: (file, prompts) => {
      const { shape, data } = file.floats('pixel_values', 2);
      const grid = file.integers('image_grid_thw', 2);
      if (grid.shape[1] !== 3)
        file.fail(`expected image_grid_thw [image, 3], found [${grid.shape.join(', ')}]`);
      let patch = 0;
      const images = Array.from({ length: grid.shape[0] as number }, (_, i): ImageInput => {
        const [frames, rows = 0, columns = 0] = grid.data.slice(3 * i, 3 * i + 3);
        if (frames !== 1)
          file.fail(`image_grid_thw has ${frames} frames for image ${i}; only images are read`);
        const pixels = data.subarray(patch * patchValues, (patch + rows * columns) * patchValues);
        patch += rows * columns;
        return {
          data: pixels,
          height: rows * patchSize,
          width: columns * patchSize,
          patches: { rows, columns },
        };
      });
      if (shape[0] !== patch || shape[1] !== patchValues)
        file.fail(
          `expected pixel_values [${patch}, ${patchValues}] with image_grid_thw, found [${shape.join(', ')}]`,
        );
      let next = 0;
      const samples = prompts.map((ids) => {
        const tokens = ids.filter((id) => id === imageToken).length;
        // A prompt has each of its images' features, or a token for each of its images.
        let end = next;
        for (let found = 0; found < tokens && end < images.length; end++)
          found += features(images[end] as ImageInput);
        const whole = images.slice(next, end).reduce((sum, image) => sum + features(image), 0) === tokens;
        const own = images.slice(next, whole ? end : next + tokens);
        next += own.length;
        return { images: own };
      });
      if (next !== images.length)
        file.fail(
          `image_grid_thw has ${images.length} images, the prompts' tokens (id ${imageToken}) are of ${next}`,
        );
      return samples;
    },
  };
}
