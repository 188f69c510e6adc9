import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { IMAGE_BACKENDS, type ImageBackend, ImageProcessor, type RgbImage } from '../../src/inputs/index.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { firstDifference, fixturePath, noticeError, readGolden, readJsonFile } from './support.ts';

interface Expected {
  readonly rescale_factor: number;
  readonly image_mean: readonly number[];
  readonly image_std: readonly number[];
  readonly images: readonly {
    readonly file: string;
    readonly blip_size: number;
    readonly clip_size: number;
  }[];
}

const FOLDER = 'image-preprocessing';
const expected = readJsonFile<Expected>(fixturePath(`${FOLDER}/expected.json`));
const golden = await readGolden(`${FOLDER}/expected.safetensors`);
/** SHA-256 of the largest, which are not stored. */
const large = readJsonFile<Readonly<Record<string, string>>>(fixturePath(`${FOLDER}/large.json`));

const config = (family: string, size: number) =>
  family === 'blip'
    ? { image_processor_type: 'BlipImageProcessor', size: { height: size, width: size } }
    : {
        image_processor_type: 'CLIPImageProcessor',
        size: { shortest_edge: size },
        crop_size: { height: size, width: size },
      };

const noise = (width: number, height: number): RgbImage => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 2654435761) >>> 24),
});

describe('equals transformers bit for bit', () => {
  for (const { file, blip_size, clip_size } of expected.images) {
    it(file, async () => {
      const image = await readImage(fixturePath(`${FOLDER}/${file}`));
      const decoded = golden.get(`${file}/decoded_rgb`)!;
      expect([image.height, image.width, 3]).toEqual(decoded.shape);
      expect(firstDifference(image.data, decoded.data as Uint8Array)).toBeUndefined();
      for (const [family, size] of [
        ['blip', blip_size],
        ['clip', clip_size],
      ] as const) {
        const { image: shown, pixelValues } = ImageProcessor.from(config(family, size)).process(image, file);
        expect([pixelValues.height, pixelValues.width]).toEqual([size, size]);
        // tiny.png is 3 pixels high, which transformers takes for channels-first unless it is told.
        const bytes =
          golden.get(`${file}/${family}_channels_last_uint8`) ?? golden.get(`${file}/${family}_uint8`);
        if (bytes) expect(firstDifference(shown.data, bytes.data as Uint8Array)).toBeUndefined();
        else
          expect(createHash('sha256').update(shown.data).digest('hex')).toBe(
            large[`${file}/${family}_uint8`],
          );
        const values = golden.get(`${file}/${family}_pixel_values`)?.data ?? formula(shown.data);
        expect(firstDifference(pixelValues.data, values as Float32Array)).toBeUndefined();
      }
    });
  }

  /** expected.json's: (float32(float64(u8) * rescale_factor) - float32(mean)) / float32(std), [3, height, width]. */
  function formula(bytes: Uint8Array): Float32Array {
    const { rescale_factor, image_mean, image_std } = expected;
    const pixels = bytes.length / 3;
    return Float32Array.from({ length: bytes.length }, (_, i) => {
      const channel = Math.floor(i / pixels);
      const scaled = Math.fround(bytes[(i % pixels) * 3 + channel]! * rescale_factor);
      return Math.fround(scaled - Math.fround(image_mean[channel]!)) / Math.fround(image_std[channel]!);
    });
  }

  it('the formula above gives the golden values', () => {
    for (const family of ['blip', 'clip']) {
      const values = golden.get(`palette.png/${family}_pixel_values`)!.data as Float32Array;
      const bytes = golden.get(`palette.png/${family}_uint8`)!.data as Uint8Array;
      expect(firstDifference(formula(bytes), values)).toBeUndefined();
    }
  });
});

describe('CLIP geometry', () => {
  const clip = (settings: object) =>
    ImageProcessor.from({ image_processor_type: 'CLIPImageProcessor', ...settings });

  it('truncates the longer side and rounds the crop margin down', () => {
    // 7×10 → 5×7 (5·10/7 = 7.14); 7 − 5 = 2 rows off, 1 above. One row more gives 7.86, still 7.
    const uncropped = clip({ size: 5, do_center_crop: false }).process(noise(7, 10)).image;
    expect([uncropped.width, uncropped.height]).toEqual([5, 7]);
    expect(clip({ size: 5, do_center_crop: false }).process(noise(7, 11)).image.height).toBe(7);
    const cropped = clip({ size: 5, crop_size: 4 }).process(noise(7, 10)).image;
    const rows = Array.from({ length: 4 }, (_, y) => [
      ...uncropped.data.subarray(((y + 1) * 5 + 0) * 3, ((y + 1) * 5 + 4) * 3),
    ]);
    expect([...cropped.data]).toEqual(rows.flat());
  });

  it('pads a picture smaller than the crop, the larger margin left and above', () => {
    const image = noise(2, 4);
    const { image: padded, pixelValues } = clip({
      do_resize: false,
      crop_size: { height: 3, width: 5 },
      do_rescale: false,
      do_normalize: false,
    }).process(image);
    // transformers: 3 columns are missing, ceil(3 / 2) = 2 of them left; 1 row too many, floor(1 / 2) = 0 cut above.
    const row = (y: number) => [0, 0, 0, 0, 0, 0, ...image.data.subarray(y * 6, y * 6 + 6), 0, 0, 0];
    expect([...padded.data]).toEqual([0, 1, 2].flatMap(row));
    expect(pixelValues.data[2]).toBe(image.data[0]); // red plane, not rescaled
    expect([pixelValues.height, pixelValues.width]).toEqual([3, 5]);
  });

  it("rounds torchvision's margins down on both sides", () => {
    const image = noise(2, 4);
    const settings = { do_resize: false, crop_size: { height: 3, width: 5 } };
    const processor = ImageProcessor.from({ image_processor_type: 'CLIPImageProcessorFast', ...settings });
    const { image: padded, view } = processor.process(image);
    const row = (y: number) => [0, 0, 0, ...image.data.subarray(y * 6, y * 6 + 6), 0, 0, 0, 0, 0, 0];
    expect([...padded.data]).toEqual([0, 1, 2].flatMap(row));
    expect(view).toEqual([-1, 0, 4, 3]);
  });
});

describe('settings', () => {
  const size = (settings: object, image = noise(8, 6)) => {
    const { width, height } = ImageProcessor.from(settings).process(image).image;
    return [width, height];
  };

  it('reads a plain number as each class does', () => {
    expect(size({ image_processor_type: 'BlipImageProcessor', size: 10 })).toEqual([10, 10]);
    expect(size({ feature_extractor_type: 'CLIPFeatureExtractor', size: 12, crop_size: 9 })).toEqual([9, 9]);
    expect(size({ feature_extractor_type: 'CLIPFeatureExtractor', size: 12, do_center_crop: false })).toEqual(
      [16, 12],
    );
  });

  it('has the defaults of each class', () => {
    expect(size({ image_processor_type: 'BlipImageProcessor' })).toEqual([384, 384]);
    expect(size({ image_processor_type: 'CLIPImageProcessor' })).toEqual([224, 224]);
    const blip = ImageProcessor.from({ image_processor_type: 'BlipImageProcessor' }).settings;
    expect(blip.rescaleFactor).toBe(expected.rescale_factor);
    expect(blip.normalization).toEqual({ mean: expected.image_mean, std: expected.image_std });
  });

  it.each(['BlipImageProcessor', 'CLIPImageProcessor', 'SiglipImageProcessor', 'Gemma3ImageProcessor'])(
    'resizes as Fast and Pil behind the name %s say, unless told otherwise',
    (type) => {
      const plain = ImageProcessor.from({ image_processor_type: type }).settings;
      for (const [name, usual] of [
        ['Fast', 'torchvision'],
        ['Pil', 'pil'],
      ] as const) {
        const named = { image_processor_type: `${type}${name}` };
        expect({ ...ImageProcessor.from(named).settings, backend: plain.backend }).toEqual(plain);
        expect(ImageProcessor.from(named).settings.backend).toBe(usual);
        for (const backend of IMAGE_BACKENDS)
          expect(ImageProcessor.from(named, { backend }).settings.backend).toBe(backend);
      }
    },
  );

  it('takes Pillow 12 where results were published with it, torchvision elsewhere', () => {
    const backend = (settings: object, processorClass?: string) =>
      ImageProcessor.from(settings, { processorClass }).settings.backend;
    const blip = { image_processor_type: 'BlipImageProcessor' };
    expect(backend({ image_processor_type: 'CLIPImageProcessor', processor_class: 'LlavaProcessor' })).toBe(
      'pil-12',
    );
    expect(backend({ ...blip, processor_class: 'BlipProcessor' })).toBe('pil-12');
    expect(backend({ ...blip, processor_class: 'InstructBlipProcessor' })).toBe('torchvision');
    expect(backend(blip, 'InstructBlipProcessor')).toBe('torchvision');
    expect(backend({ image_processor_type: 'SiglipImageProcessor' })).toBe('torchvision');
    expect(backend({}, 'Qwen2_5_VLProcessor')).toBe('torchvision');
  });

  it("normalises as each backend does: Pillow's rescales first, torchvision's scales mean and deviation", () => {
    const image = { width: 1, height: 1, data: Uint8Array.of(100, 150, 200) };
    const settings = { image_processor_type: 'BlipImageProcessor', do_resize: false };
    const values = (backend: ImageBackend, more: object = {}) =>
      ImageProcessor.from({ ...settings, ...more }, { backend }).process(image).pixelValues.data;
    const f = Math.fround;
    const { image_mean: mean, image_std: std } = expected;
    expect(values('torchvision')).toEqual(
      Float32Array.from(image.data, (byte, c) => f(byte - f(f(mean[c]!) * 255)) / f(f(std[c]!) * 255)),
    );
    const rescaled = Float32Array.from(image.data, (byte, c) => f(f(byte / 255) - f(mean[c]!)) / f(std[c]!));
    expect([values('pil'), values('pil-12')]).toEqual([rescaled, rescaled]);
    const only = { do_normalize: false };
    expect(values('torchvision', only)).toEqual(Float32Array.from(image.data, (byte) => byte * f(1 / 255)));
    expect(values('pil', only)).toEqual(Float32Array.from(image.data, (byte) => byte * (1 / 255)));
  });

  it('leaves out what do_… turns off', () => {
    const off = { do_resize: false, do_center_crop: false, do_rescale: false, do_normalize: false };
    const image = noise(3, 2);
    const { image: same, pixelValues } = ImageProcessor.from({
      image_processor_type: 'CLIPImageProcessor',
      ...off,
    }).process(image);
    expect(same).toBe(image);
    expect(pixelValues.data[6 + 1]).toBe(image.data[3 + 1]); // green of the second pixel
  });

  it.each([
    [{}, /image_processor_type is missing; supported are BlipImageProcessor/],
    [{ image_processor_type: 'ViTImageProcessor' }, /"ViTImageProcessor"/],
    [{ image_processor_type: 'BlipImageProcessor', resample: 0 }, /resample is 0; supported are 1 .lanczos/],
    [
      { image_processor_type: 'BlipImageProcessor', size: { shortest_edge: 4 } },
      /size is \{"shortest_edge":4\}; expected height/,
    ],
    [{ image_processor_type: 'BlipImageProcessor', size: { height: 0, width: 4 } }, /size.height is 0/],
    [{ image_processor_type: 'BlipImageProcessor', do_resize: 'yes' }, /do_resize is "yes"/],
    [{ image_processor_type: 'BlipImageProcessor', rescale_factor: '1/255' }, /rescale_factor is "1\/255"/],
    [
      { image_processor_type: 'BlipImageProcessor', image_std: [1, 0, 2] },
      /image_std\[1\] is 0; expected a positive/,
    ],
    [
      { image_processor_type: 'BlipImageProcessor', image_std: { 0: 1 } },
      /image_std is \{"0":1\}; expected three/,
    ],
    [
      { image_processor_type: 'BlipImageProcessor', image_std: [1, 2] },
      /image_std is \[1,2\]; expected three/,
    ],
    [{ image_processor_type: 'CLIPImageProcessor', do_pad: true }, /do_pad/],
    [[], /expected a JSON object/],
  ])('refuses %j', (settings, message) => {
    expect(() => ImageProcessor.from(settings)).toThrow(noticeError('config', message));
  });

  it('refuses pictures that are empty, too large, or not what they say', () => {
    const clip = ImageProcessor.from({ image_processor_type: 'CLIPImageProcessor' });
    const process = (width: number, height: number, bytes: number) => () =>
      clip.process({ width, height, data: new Uint8Array(bytes) }, 'x.png');
    expect(process(0, 5, 0)).toThrow(noticeError('image', /^x.png: the image is 0×5 pixels/));
    expect(process(20000, 9000, 0)).toThrow(
      noticeError('image', /^x.png: 20000×9000 is more than 178956970/),
    );
    expect(process(4, 4, 16)).toThrow(
      noticeError('image', /^x.png: 16 bytes of pixels, but 4×4 RGB needs 48/),
    );
    // A line becomes huge where the shorter side is brought to 224.
    expect(process(20000, 1, 60000)).toThrow(noticeError('image', /^x.png after resizing: 4480000×224/));
  });
});
