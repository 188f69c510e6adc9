// The image processors of all families against transformers 5.24: see make.py beside the hashes.

import { describe, expect, it } from 'vitest';
import { ImageProcessor, type RgbImage } from '../../src/inputs/index.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { fixturePath, noticeError, readJsonFile, sha256 } from './support.ts';

interface Golden {
  readonly image: string;
  readonly options?: object;
  readonly shape: readonly number[];
  readonly torchvision: string;
  readonly pil?: string;
  readonly facts: Readonly<Record<string, number | readonly number[]>>;
}

const golden = readJsonFile<Record<string, Golden[]>>(fixturePath('image-processors/expected.json'));

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

const noise = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 2654435761) >>> 24),
});

describe.each(Object.entries(golden))('%s', (folder, rows) => {
  const config = readJsonFile<Record<string, unknown>>(fixturePath(`${folder}/preprocessor_config.json`));

  it.each(rows)('$image, bit for bit', async ({ image: file, options, shape, facts, ...expected }) => {
    const image = await readImage(fixturePath(`${folder}/${file}`));
    const settings = { ...config, ...options };
    for (const backend of ['torchvision', 'pil'] as const) {
      const hash = expected[backend];
      if (hash === undefined) continue;
      const { pixelValues, view } = ImageProcessor.from(settings, { backend }).process(image);
      expect(sha256(bytesOf(pixelValues.data)), backend).toBe(hash);
      const { data, height, width, tiles, patches, picture } = pixelValues;
      if (patches) expect([patches.rows * patches.columns, data.length / shape[0]!]).toEqual(shape);
      else expect([...(tiles ? [data.length / (3 * height * width)] : []), 3, height, width]).toEqual(shape);
      expect(picture).toEqual({ width: image.width, height: image.height });
      expect(view).toEqual([0, 0, image.width, image.height]);
      if (facts.image_grid_thw) expect([1, patches!.rows, patches!.columns]).toEqual(facts.image_grid_thw);
      if (facts.grid_hw) expect([tiles!.rows * height, tiles!.columns * width]).toEqual(facts.grid_hw);
      if ('tile_rows' in facts)
        expect(tiles).toEqual({ rows: facts.tile_rows, columns: facts.tile_columns, overview: 'last' });
      if ('crops' in facts) expect(tiles!.rows * tiles!.columns).toBe(facts.crops);
    }
    expect(ImageProcessor.from(settings).settings.backend).toBe('torchvision');
  });
});

describe('shapes', () => {
  const process = (settings: object, image: RgbImage, pictures?: number) =>
    ImageProcessor.from(settings).process(image, 'x.png', pictures);

  it('pads each of several pictures to a square for LLaVA-OneVision, in the colour of the mean', () => {
    const settings = {
      image_processor_type: 'LlavaOnevisionImageProcessor',
      size: { height: 5, width: 5 },
      image_grid_pinpoints: [[5, 10]],
      do_normalize: false,
      do_rescale: false,
      image_mean: [0.1, 0.5, 0.9],
    };
    const image = noise(5, 2);
    const { pixelValues, view, image: shown } = process(settings, image, 2);
    // One row above (rounded down), two below.
    const background = Array(5).fill([25, 127, 229]).flat(); // int(255 · mean)
    expect([...shown.data]).toEqual([...background, ...image.data, ...background, ...background]);
    expect(view).toEqual([0, -1, 5, 4]);
    expect(pixelValues.tiles).toEqual({ rows: 0, columns: 0, overview: 'first' });
    expect(process(settings, image).pixelValues.tiles).toEqual({ rows: 1, columns: 2, overview: 'first' });
  });

  it("rounds halves to even for Qwen's sizes, as Python does", () => {
    const patches = (width: number, height: number, more = {}) =>
      process({ image_processor_type: 'Qwen2VLImageProcessor', ...more }, noise(width, height)).pixelValues
        .patches;
    // 1022 / 28 = 36.5 → 36 blocks, not 37.
    expect(patches(1022, 70)).toEqual({ rows: 4, columns: 72 });
    expect(patches(28, 28)).toEqual({ rows: 4, columns: 4 }); // at least 56 × 56 pixels
    expect(patches(32, 32, { patch_size: 16, size: { shortest_edge: 1, longest_edge: 4096 } })).toEqual({
      rows: 2,
      columns: 2,
    });
    // Old and new names of the areas; the old ones decide.
    const area = { min_pixels: 28 * 28, size: { shortest_edge: 9e6, longest_edge: 9e6 } };
    expect(patches(28, 28, area)).toEqual({ rows: 2, columns: 2 });
    expect(() => patches(2010, 10)).toThrow(
      noticeError('image', /2010×10 pixels: one side is 201 times the other/),
    );
  });

  it('crops where Gemma 3 pans and scans, and not where the picture is nearly square or the crops too small', () => {
    const settings = {
      image_processor_type: 'Gemma3ImageProcessor',
      size: { height: 8, width: 8 },
      do_pan_and_scan: true,
      pan_and_scan_min_crop_size: 10,
    };
    const tiles = (width: number, height: number) =>
      process(settings, noise(width, height)).pixelValues.tiles;
    expect(tiles(30, 12)).toEqual({ rows: 1, columns: 3, overview: 'first' }); // 30 / 12 = 2.5, rounded up
    expect(tiles(12, 30)).toEqual({ rows: 3, columns: 1, overview: 'first' });
    expect(tiles(100, 12)).toEqual({ rows: 1, columns: 4, overview: 'first' });
    for (const [width, height] of [
      [13, 12],
      [18, 12],
      [90, 9],
    ] as const)
      expect(tiles(width, height)).toEqual({ rows: 0, columns: 0, overview: 'first' });
    expect(process({ ...settings, do_pan_and_scan: null }, noise(30, 12)).pixelValues.tiles).toBeUndefined();
    // Gemma3Processor has the last word: it does not pan and scan unless its caller asks.
    const own = ImageProcessor.from(settings, { inProcessor: true });
    expect(own.process(noise(30, 12)).pixelValues.tiles).toBeUndefined();
  });

  it('has the defaults of each class', () => {
    const seen = (image_processor_type: string, width: number, height: number) => {
      const { data, ...rest } = process({ image_processor_type }, noise(width, height)).pixelValues;
      return [
        data.length,
        rest.height,
        rest.width,
        rest.tiles?.rows,
        rest.tiles?.columns,
        rest.patches?.rows,
      ];
    };
    expect(seen('SiglipImageProcessor', 4, 3)).toEqual([
      3 * 224 ** 2,
      224,
      224,
      undefined,
      undefined,
      undefined,
    ]);
    expect(seen('Gemma3ImageProcessor', 4, 3)).toEqual([
      3 * 224 ** 2,
      224,
      224,
      undefined,
      undefined,
      undefined,
    ]);
    expect(seen('SmolVLMImageProcessor', 8, 4)).toEqual([9 * 3 * 364 ** 2, 364, 364, 2, 4, undefined]);
    expect(seen('Qwen2VLImageProcessor', 56, 84)).toEqual([
      6 * 3 * 2 * 28 ** 2,
      84,
      56,
      undefined,
      undefined,
      6,
    ]);
    expect(seen('LlavaOnevisionImageProcessor', 384, 500)).toEqual([
      3 * 3 * 384 ** 2,
      384,
      384,
      2,
      1,
      undefined,
    ]);
  });
});

it.each([
  [
    { image_processor_type: 'SmolVLMImageProcessor', size: { shortest_edge: 9 } },
    /^f: size is .*expected height and/,
  ],
  [
    { image_processor_type: 'SmolVLMImageProcessor', max_image_size: 364 },
    /max_image_size is 364; expected longest_edge/,
  ],
  [{ image_processor_type: 'SmolVLMImageProcessor', do_image_splitting: 'no' }, /do_image_splitting is "no"/],
  [
    { image_processor_type: 'Qwen2VLImageProcessor', patch_size: 0 },
    /patch_size is 0; expected a number of pixels/,
  ],
  [
    { image_processor_type: 'Qwen2VLImageProcessor', size: { shortest_edge: 9 } },
    /size.longest_edge is missing/,
  ],
  [
    { image_processor_type: 'Qwen2VLImageProcessor', min_pixels: 9, max_pixels: 8 },
    /least area, 9 pixels, is more/,
  ],
  [{ image_processor_type: 'Qwen2VLImageProcessor', do_resize: false }, /do_resize is false/],
  [{ image_processor_type: 'Gemma3ImageProcessor', do_pan_and_scan: 1 }, /do_pan_and_scan is 1/],
  [
    { image_processor_type: 'Gemma3ImageProcessor', do_pan_and_scan: true, pan_and_scan_max_num_crops: 0 },
    /pan_and_scan_max_num_crops is 0; expected a number of crops/,
  ],
  [
    { image_processor_type: 'LlavaNextImageProcessor' },
    /pinpoints\[0\] is \[336,672\] \(left out: the class's own\); expected multiples of the tile's 224 pixels \(left out/,
  ],
  [
    { image_processor_type: 'LlavaNextImageProcessor', image_grid_pinpoints: [[448, 336]] },
    /pinpoints\[0\] is \[448,336\]; expected multiples of the tile's 224 pixels \(left out: the class's own\)/,
  ],
  [
    { image_processor_type: 'LlavaNextImageProcessor', size: { shortest_edge: 336 } },
    /crop_size is 224 \(left out: the class's own\), but size gives tiles of 336/,
  ],
  [
    { image_processor_type: 'LlavaOnevisionImageProcessor', image_grid_pinpoints: [] },
    /image_grid_pinpoints is \[\]; expected a list/,
  ],
  [{ image_processor_type: 'Idefics2ImageProcessor' }, /supported are .*SmolVLMImageProcessor/],
  [
    { image_processor_type: 'SiglipImageProcessor', rescale_factor: 0 },
    /rescale_factor is 0; expected a positive/,
  ],
])('refuses %j', (settings, message) => {
  expect(() => ImageProcessor.from(settings, { file: 'f' })).toThrow(noticeError('config', message));
});
