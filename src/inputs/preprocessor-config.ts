import { NoticeError } from '../errors.ts';
import type { ResampleFilter } from './resample.ts';

/** Settings of an image processor; a step that is absent is left out. */
export interface Preprocessing {
  /** Target of the resize: fixed, or by the shorter side with the aspect kept. */
  readonly size?: { readonly width: number; readonly height: number } | { readonly shortestEdge: number };
  readonly resample: ResampleFilter;
  /** Window cut out of the middle, in pixels. */
  readonly crop?: { readonly width: number; readonly height: number };
  /** Factor from byte to number. */
  readonly rescaleFactor?: number;
  /** Per channel (red, green, blue), in rescaled units. */
  readonly normalization?: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** What is done otherwise than the config asks for, in sentences. */
  readonly warnings: readonly string[];
}

/** Pillow's numbers of the filters. */
const RESAMPLE = new Map<unknown, ResampleFilter>([
  [1, 'lanczos'],
  [2, 'bilinear'],
  [3, 'bicubic'],
]);

/** Class defaults in transformers; a config written by it may leave out what equals them. */
const OPENAI_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const OPENAI_CLIP_STD = [0.26862954, 0.26130258, 0.27577711];
const DEFAULT_SIZE = { blip: { height: 384, width: 384 }, clip: { shortest_edge: 224 } };

type Family = keyof typeof DEFAULT_SIZE;

/**
 * Processor classes by the names that configs use; feature extractors are their names before 2023. Since transformers 5 a
 * class is there twice, with `Pil` behind the name of the one that resizes with Pillow; before, `Fast` stood behind that of
 * the one that resizes with torchvision.
 */
const FAMILIES = new Map<unknown, Family>([
  ['BlipImageProcessor', 'blip'],
  ['CLIPImageProcessor', 'clip'],
  ['CLIPFeatureExtractor', 'clip'],
]);

function fail(problem: string): never {
  throw new NoticeError('config', problem);
}

/**
 * Reads a parsed preprocessor_config.json, or the `image_processor` of a processor_config.json.
 *
 * @param file where it stands, for messages
 * @throws NoticeError('config') that names the file, the setting and what is supported
 */
export function parsePreprocessorConfig(json: unknown, file = 'preprocessor_config.json'): Preprocessing {
  try {
    return parseSettings(json, file);
  } catch (error) {
    if (error instanceof NoticeError) throw new NoticeError('config', `${file}: ${error.message}`);
    throw error;
  }
}

function parseSettings(json: unknown, file: string): Preprocessing {
  if (!isObject(json)) fail('expected a JSON object.');
  const type = json.image_processor_type ?? json.feature_extractor_type;
  const family = FAMILIES.get(
    typeof type === 'string' ? type.replace(/(?<=ImageProcessor)(Fast|Pil)$/, '') : type,
  );
  if (!family) {
    fail(`image_processor_type is ${show(type)}; supported are ${[...FAMILIES.keys()].join(', ')}.`);
  }
  if (json.do_pad === true) fail('do_pad is true, which is not supported.');
  const resample = RESAMPLE.get(json.resample ?? 3);
  if (!resample) {
    fail(`resample is ${show(json.resample)}; supported are 1 (lanczos), 2 (bilinear) and 3 (bicubic).`);
  }
  const crops = family === 'clip' && flag(json, 'do_center_crop');
  return {
    size: flag(json, 'do_resize') ? parseSize(json.size ?? DEFAULT_SIZE[family], family) : undefined,
    resample,
    crop: crops ? parseCrop(json.crop_size ?? 224) : undefined,
    rescaleFactor: flag(json, 'do_rescale')
      ? number(json.rescale_factor ?? 1 / 255, 'rescale_factor')
      : undefined,
    normalization: flag(json, 'do_normalize')
      ? {
          mean: channels(json.image_mean ?? OPENAI_CLIP_MEAN, 'image_mean'),
          std: channels(json.image_std ?? OPENAI_CLIP_STD, 'image_std').map(positive),
        }
      : undefined,
    warnings: /Fast$/.test(String(type))
      ? [
          `${file}: ${type} resizes with torchvision; here Pillow's resizing is used, whose pixels differ by a few levels.`,
        ]
      : [],
  };
}

/** A plain number is a square for BLIP and the shorter side for CLIP. */
function parseSize(size: unknown, family: Family): Preprocessing['size'] {
  if (typeof size === 'number') {
    const edge = pixels(size, 'size');
    return family === 'blip' ? { width: edge, height: edge } : { shortestEdge: edge };
  }
  if (isObject(size) && family === 'clip' && 'shortest_edge' in size) {
    return { shortestEdge: pixels(size.shortest_edge, 'size.shortest_edge') };
  }
  return widthAndHeight(size, 'size');
}

function parseCrop(size: unknown): Preprocessing['crop'] {
  if (typeof size !== 'number') return widthAndHeight(size, 'crop_size');
  const edge = pixels(size, 'crop_size');
  return { width: edge, height: edge };
}

function widthAndHeight(size: unknown, name: string) {
  if (!isObject(size) || !('height' in size && 'width' in size)) {
    fail(`${name} is ${show(size)}; expected height and width.`);
  }
  return { width: pixels(size.width, `${name}.width`), height: pixels(size.height, `${name}.height`) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every do_… step of the two classes is on unless the config turns it off. */
function flag(json: Record<string, unknown>, name: string): boolean {
  const value = json[name] ?? true;
  return typeof value === 'boolean' ? value : fail(`${name} is ${show(value)}; expected true or false.`);
}

function number(value: unknown, name: string): number {
  // Not 1e300 either: it is computed in float32.
  return typeof value === 'number' && Number.isFinite(Math.fround(value))
    ? value
    : fail(`${name} is ${show(value)}; expected a number.`);
}

function pixels(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : fail(`${name} is ${show(value)}; expected a number of pixels.`);
}

/** Values are divided by it. */
function positive(value: number, channel: number): number {
  return value > 0 ? value : fail(`image_std[${channel}] is ${value}; expected a positive number.`);
}

/** Three numbers, or one for all channels. */
function channels(value: unknown, name: string): number[] {
  if (typeof value === 'number') return Array<number>(3).fill(number(value, name));
  if (!Array.isArray(value) || value.length !== 3) fail(`${name} is ${show(value)}; expected three numbers.`);
  return value.map((entry, channel) => number(entry, `${name}[${channel}]`));
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? 'missing';
}
