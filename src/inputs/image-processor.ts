// Pictures to pixel values, equal bit for bit to Hugging Face's BlipImageProcessor and CLIPImageProcessor
// (transformers 4.46, the PIL and numpy versions).
import { NoticeError } from '../errors.ts';
import { type Box, checkImageSize, type RgbImage } from './image.ts';
import { type Preprocessing, parsePreprocessorConfig } from './preprocessor-config.ts';
import { resize } from './resample.ts';

/** What the vision tower reads of one picture. */
export interface PixelValues {
  /**
   * [3, height, width]; with tiles [tile, 3, height, width]; with patches [rows · columns, 3 · frames · patch · patch] in
   * the order of transformers' pixel_values: blocks of patches that are merged later, row by row
   */
  readonly data: Float32Array;
  /** Pixels of the picture after resizing, or of one tile. */
  readonly height: number;
  readonly width: number;
  /** How the picture is cut; default not at all. */
  readonly tiles?: TileGrid;
  /** How many patches the picture is packed into; default not at all. */
  readonly patches?: { readonly rows: number; readonly columns: number };
  /** The picture's own size in pixels, where the model goes by it. */
  readonly picture?: { readonly height: number; readonly width: number };
}

/** Tiles of a picture row by row, and where among them the whole picture stands, made small, if it does. */
export interface TileGrid {
  readonly rows: number;
  readonly columns: number;
  readonly overview?: 'first' | 'last';
}

export interface ProcessedImage {
  /** The picture after resizing and cropping, as the model sees it: for display and overlays. */
  readonly image: RgbImage;
  /** The part of the picture that is left, in its pixels; what was added around it lies outside. */
  readonly view: Box;
  readonly pixelValues: PixelValues;
}

export class ImageProcessor {
  readonly settings: Preprocessing;

  constructor(settings: Preprocessing) {
    this.settings = settings;
  }

  /**
   * From a parsed preprocessor_config.json, or the `image_processor` of a processor_config.json.
   *
   * @param file where it stands, for messages
   * @throws NoticeError('config') for another kind of processor or a setting that is not supported
   */
  static from(config: unknown, file?: string): ImageProcessor {
    return new ImageProcessor(parsePreprocessorConfig(config, file));
  }

  /**
   * Resizes, crops, rescales and normalises. A picture is always [height, width, channel] here; transformers
   * takes one that is 1 or 3 pixels high for channels-first and mangles it.
   *
   * @param name the file's name, for messages
   * @throws NoticeError('image') if the picture, or what resizing would make of it, is empty or too large
   */
  process(image: RgbImage, name = 'image'): ProcessedImage {
    checkImageSize(image.width, image.height, name);
    if (image.data.length !== image.width * image.height * 3) {
      throw new NoticeError(
        'image',
        `${name}: ${image.data.length} bytes of pixels, but ${image.width}×${image.height} RGB needs ${image.width * image.height * 3}.`,
      );
    }
    const { crop } = this.settings;
    const resized = this.#resize(image, name);
    const shown = crop ? centerCrop(resized, crop.width, crop.height) : resized;
    const [left, top] = crop
      ? [cropStart(resized.width, crop.width), cropStart(resized.height, crop.height)]
      : [0, 0];
    const [x, y] = [image.width / resized.width, image.height / resized.height];
    const view = [left * x, top * y, (left + shown.width) * x, (top + shown.height) * y] as const;
    return { image: shown, view, pixelValues: this.#normalize(shown) };
  }

  #resize(image: RgbImage, name: string): RgbImage {
    const { size, resample } = this.settings;
    if (!size) return image;
    let { width, height } = image;
    if ('shortestEdge' in size) {
      const edge = size.shortestEdge;
      const long = Math.trunc((edge * Math.max(width, height)) / Math.min(width, height));
      [width, height] = width <= height ? [edge, long] : [long, edge];
    } else {
      ({ width, height } = size);
    }
    checkImageSize(width, height, `${name} after resizing`);
    return resize(image, width, height, resample);
  }

  #normalize(image: RgbImage): PixelValues {
    const { rescaleFactor, normalization } = this.settings;
    const { width, height } = image;
    const pixels = width * height;
    const data = new Float32Array(3 * pixels);
    const levels = new Float32Array(256);
    for (let channel = 0; channel < 3; channel++) {
      // numpy's order and precision: the product in float64, the rest in float32.
      for (let value = 0; value < 256; value++) {
        const scaled = Math.fround(rescaleFactor === undefined ? value : value * rescaleFactor);
        levels[value] = normalization
          ? Math.fround(scaled - Math.fround(normalization.mean[channel]!)) /
            Math.fround(normalization.std[channel]!)
          : scaled;
      }
      const plane = channel * pixels;
      for (let pixel = 0; pixel < pixels; pixel++) {
        data[plane + pixel] = levels[image.data[pixel * 3 + channel]!]!;
      }
    }
    return { data, width, height };
  }
}

/** Cuts the middle out; where the picture is smaller than the window, black is added, as transformers does. */
function centerCrop(image: RgbImage, width: number, height: number): RgbImage {
  const left = cropStart(image.width, width);
  const top = cropStart(image.height, height);
  const data = new Uint8Array(width * height * 3);
  const from = Math.max(0, left);
  const to = Math.min(image.width, left + width);
  for (let y = Math.max(0, top); y < Math.min(image.height, top + height); y++) {
    const row = image.data.subarray((y * image.width + from) * 3, (y * image.width + to) * 3);
    data.set(row, ((y - top) * width + from - left) * 3);
  }
  return { width, height, data };
}

/**
 * Where the window begins in the picture; negative if it is padded. transformers rounds the margin down when it
 * cuts, and pads by the margin rounded up, from which it then cuts the window out of what is at least as large.
 */
function cropStart(size: number, window: number): number {
  return Math.floor((size - window) / 2);
}
