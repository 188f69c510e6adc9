import { NoticeError } from '../errors.ts';
import { nextLayout, onevisionLayout } from './processors/anyres.ts';
import { dynamicLayout } from './processors/dynamic.ts';
import { channels, type Fields, fail, flag, isObject, number, show } from './processors/fields.ts';
import type { PictureLayout } from './processors/layout.ts';
import { panAndScanLayout } from './processors/pan-and-scan.ts';
import { plainLayout } from './processors/plain.ts';
import { splitLayout } from './processors/split.ts';
import type { ImageBackend, ResampleFilter } from './resample.ts';

/** Settings of an image processor; a step that is absent is left out. */
export interface Preprocessing {
  /** Whose resizing and normalising is done. */
  readonly backend: ImageBackend;
  /** How pictures are resized and cut. */
  readonly layout: PictureLayout;
  readonly resample: ResampleFilter;
  /** Factor from byte to number. */
  readonly rescaleFactor?: number;
  /** Per channel (red, green, blue), in rescaled units. */
  readonly normalization?: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

export interface PreprocessingOptions {
  /** Where the config stands, for messages. */
  readonly file?: string | undefined;
  /** Default: what the class's name says, or what the family's pictures are usually made with. */
  readonly backend?: ImageBackend | undefined;
  /** The `processor_class` of the folder, where the config itself does not name it. */
  readonly processorClass?: string | undefined;
  /**
   * Whether pictures are made for a prompt, by the family's processor, which may have settings that go before those of its
   * image processor's file. Default no: the image processor alone.
   */
  readonly inProcessor?: boolean | undefined;
}

/** Pillow's numbers of the filters. */
const RESAMPLE = new Map<unknown, ResampleFilter>([
  [1, 'lanczos'],
  [2, 'bilinear'],
  [3, 'bicubic'],
]);

interface ImageProcessorClass {
  /** Defaults of the class in transformers; a config written by it may leave out what equals them. */
  readonly resample: 1 | 2 | 3;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** What a name without Fast or Pil means. */
  readonly backend: ImageBackend;
  readonly layout: (json: Fields, backend: ImageBackend, mean: readonly number[]) => PictureLayout;
  /** `images_kwargs` of the family's processor, which it hands to its image processor unless a caller asks otherwise. */
  readonly inProcessor?: Fields;
}

const CLIP_LEVELS = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
const HALF = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
const TORCHVISION = { backend: 'torchvision', resample: 3 } as const;
/** BLIP's and LLaVA's published results were made before torchvision's processors were there. */
const PUBLISHED = { backend: 'pil-12', resample: 3 } as const;

const BLIP: ImageProcessorClass = {
  ...CLIP_LEVELS,
  ...PUBLISHED,
  layout: (json, backend) => plainLayout(json, { edge: 384, crops: false }, backend),
};
const CLIP: ImageProcessorClass = {
  ...CLIP_LEVELS,
  ...PUBLISHED,
  layout: (json, backend) => plainLayout(json, { edge: 224, crops: true }, backend),
};
const SPLIT: ImageProcessorClass = { ...HALF, ...TORCHVISION, resample: 1, layout: splitLayout };
const QWEN: ImageProcessorClass = { ...CLIP_LEVELS, ...TORCHVISION, layout: dynamicLayout };

/** Image processor classes by the names that configs use; feature extractors are their names before 2023. */
const CLASSES = new Map<unknown, ImageProcessorClass>([
  ['BlipImageProcessor', BLIP],
  ['CLIPImageProcessor', CLIP],
  ['CLIPFeatureExtractor', CLIP],
  [
    'SiglipImageProcessor',
    {
      ...HALF,
      ...TORCHVISION,
      layout: (json, backend) => plainLayout(json, { edge: 224, crops: false }, backend),
    },
  ],
  ['SmolVLMImageProcessor', SPLIT],
  ['Idefics3ImageProcessor', SPLIT],
  ['Qwen2VLImageProcessor', QWEN],
  ['Qwen2_5_VLImageProcessor', QWEN],
  [
    'Gemma3ImageProcessor',
    {
      ...HALF,
      ...{ ...TORCHVISION, resample: 2, layout: panAndScanLayout },
      inProcessor: { do_pan_and_scan: false },
    },
  ],
  ['LlavaNextImageProcessor', { ...CLIP_LEVELS, ...TORCHVISION, layout: nextLayout }],
  [
    'LlavaOnevisionImageProcessor',
    { ...CLIP_LEVELS, ...TORCHVISION, layout: (json, _, mean) => onevisionLayout(json, mean) },
  ],
]);

/** Image processors of processor classes, for configs that name only these. */
const OF_PROCESSOR: Readonly<Record<string, string>> = {
  BlipProcessor: 'BlipImageProcessor',
  InstructBlipProcessor: 'BlipImageProcessor',
  LlavaProcessor: 'CLIPImageProcessor',
  PaliGemmaProcessor: 'SiglipImageProcessor',
  SmolVLMProcessor: 'SmolVLMImageProcessor',
  Idefics3Processor: 'Idefics3ImageProcessor',
  Qwen2VLProcessor: 'Qwen2VLImageProcessor',
  Qwen2_5_VLProcessor: 'Qwen2VLImageProcessor',
  Qwen3VLProcessor: 'Qwen2VLImageProcessor',
  Gemma3Processor: 'Gemma3ImageProcessor',
  LlavaNextProcessor: 'LlavaNextImageProcessor',
  LlavaOnevisionProcessor: 'LlavaOnevisionImageProcessor',
};

/** Processors whose family takes torchvision where others of the image processor's class do not. */
const WITH_TORCHVISION: readonly unknown[] = ['InstructBlipProcessor'];

/**
 * Reads a parsed preprocessor_config.json, or the `image_processor` of a processor_config.json.
 *
 * @throws NoticeError('config') that names the file, the setting and what is supported
 */
export function parsePreprocessorConfig(
  json: unknown,
  { file = 'preprocessor_config.json', ...options }: PreprocessingOptions = {},
): Preprocessing {
  try {
    return parseSettings(json, options);
  } catch (error) {
    if (error instanceof NoticeError) throw new NoticeError('config', `${file}: ${error.message}`);
    throw error;
  }
}

function parseSettings(config: unknown, options: PreprocessingOptions): Preprocessing {
  if (!isObject(config)) fail('expected a JSON object.');
  const processor = config.processor_class ?? options.processorClass;
  const type =
    config.image_processor_type ?? config.feature_extractor_type ?? OF_PROCESSOR[String(processor)];
  // Since transformers 5 a class is there twice, with Pil behind the name of the one that resizes with Pillow; before,
  // Fast stood behind that of the one that resizes with torchvision.
  const [, name, kind] = /^(.*ImageProcessor)(Fast|Pil)$/.exec(String(type)) ?? [];
  const found = CLASSES.get(name ?? type);
  if (!found) {
    fail(`image_processor_type is ${show(type)}; supported are ${[...CLASSES.keys()].join(', ')}.`);
  }
  const json = options.inProcessor ? { ...config, ...found.inProcessor } : config;
  const resample = RESAMPLE.get(json.resample ?? found.resample);
  if (!resample) {
    fail(`resample is ${show(json.resample)}; supported are 1 (lanczos), 2 (bilinear) and 3 (bicubic).`);
  }
  const usual = WITH_TORCHVISION.includes(processor) ? 'torchvision' : found.backend;
  const backend = options.backend ?? (kind === 'Fast' ? 'torchvision' : kind === 'Pil' ? 'pil' : usual);
  const mean = channels(json.image_mean ?? found.mean, 'image_mean');
  return {
    backend,
    layout: found.layout(json, backend, mean),
    resample,
    ...(flag(json, 'do_rescale')
      ? {
          rescaleFactor: positive(number(json.rescale_factor ?? 1 / 255, 'rescale_factor'), 'rescale_factor'),
        }
      : {}),
    ...(flag(json, 'do_normalize')
      ? {
          normalization: {
            mean,
            std: channels(json.image_std ?? found.std, 'image_std').map((value, channel) =>
              positive(value, `image_std[${channel}]`),
            ),
          },
        }
      : {}),
  };
}

/** Values are divided by it. */
function positive(value: number, name: string): number {
  return value > 0 ? value : fail(`${name} is ${value}; expected a positive number.`);
}
