// The image processors against transformers 5.24 on noise of many sizes: see make_sizes.py beside the verdicts.

import { expect, it } from 'vitest';
import { ImageProcessor, type RgbImage } from '../../src/inputs/index.ts';
import { LONG, long } from '../support/long.ts';
import { fixturePath, noticeError, readJsonFile, sha256 } from './support.ts';

type Row =
  | readonly [width: number, height: number, shape: readonly number[], torchvision: string, pil: string]
  | readonly [width: number, height: number, refused: null];

interface Sizes {
  readonly config: object;
  readonly pictures: number;
  /** At the sizes of released models. */
  readonly large: boolean;
  readonly rows: readonly Row[];
}

const sizes = Object.entries(readJsonFile<Record<string, Sizes>>(fixturePath('image-processors/sizes.json')));

const noise = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 2654435761) >>> 24),
});

const some = sizes.filter(([, { large }]) => LONG || !large);

it.each(some)('%s', (_, { config, pictures, rows }) => {
  const tested = long(
    rows.filter((_, i) => i % 4 === 1),
    rows,
  );
  for (const [width, height, shape, ...hashes] of tested) {
    const image = noise(width, height);
    for (const [i, backend] of (['torchvision', 'pil'] as const).entries()) {
      const processor = ImageProcessor.from(config, { backend });
      if (!shape) {
        expect(() => processor.process(image)).toThrow(noticeError('image', /at most 200 times/));
        continue;
      }
      const { data } = processor.process(image, 'x', pictures).pixelValues;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      expect(data.length, `${width}×${height}`).toBe(shape.reduce((a, b) => a * b));
      expect(sha256(bytes).slice(0, 16), `${width}×${height} ${backend}`).toBe(hashes[i]);
    }
  }
});
