// Pictures to pixel values, equal bit for bit to those of Hugging Face's image processors: those of transformers 5, with
// torchvision or with Pillow, and the PIL and numpy ones before.
import { NoticeError } from '../errors.ts';
import { type Box, checkImageSize, type RgbImage } from './image.ts';
import {
  type Preprocessing,
  type PreprocessingOptions,
  parsePreprocessorConfig,
} from './preprocessor-config.ts';
import { packPatches } from './processors/dynamic.ts';
import type { CutPicture, Resize, TileGrid } from './processors/layout.ts';
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
  /** The picture's own size in pixels, by which some models go. */
  readonly picture?: { readonly height: number; readonly width: number };
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
   * @throws NoticeError('config') for another kind of processor or a setting that is not supported
   */
  static from(config: unknown, options: PreprocessingOptions = {}): ImageProcessor {
    return new ImageProcessor(parsePreprocessorConfig(config, options));
  }

  /**
   * Resizes, cuts, rescales and normalises. A picture is always [height, width, channel] here; transformers
   * takes one that is 1 or 3 pixels high for channels-first and mangles it.
   *
   * @param name the file's name, for messages
   * @param pictures how many pictures stand in the prompt: some families read several otherwise than one
   * @throws NoticeError('image') if the picture, or what resizing would make of it, is empty or too large
   */
  process(image: RgbImage, name = 'image', pictures = 1): ProcessedImage {
    checkImageSize(image.width, image.height, name);
    if (image.data.length !== image.width * image.height * 3) {
      throw new NoticeError(
        'image',
        `${name}: ${image.data.length} bytes of pixels, but ${image.width}×${image.height} RGB needs ${image.width * image.height * 3}.`,
      );
    }
    const { resample, backend, layout } = this.settings;
    const cut = this.#cut(image, name, pictures, (from, width, height) =>
      resize(from, width, height, resample, backend),
    );
    const pixels = this.#normalize(cut.tiles);
    const values = this.#valuesOf(cut, image);
    const data = layout.packing ? packPatches(pixels, values, layout.packing) : pixels;
    return { image: cut.shown, view: cut.view, pixelValues: { ...values, data } };
  }

  /**
   * What {@link process} makes of a picture of this size, but for the pixels: `data` is empty.
   *
   * @throws NoticeError('image') as {@link process} does
   */
  measure({ width, height }: Pick<RgbImage, 'width' | 'height'>, name = 'image', pictures = 1): PixelValues {
    checkImageSize(width, height, name);
    const data = new Uint8Array(0);
    const picture = { width, height, data };
    const resized = (_: RgbImage, toWidth: number, toHeight: number) => ({
      width: toWidth,
      height: toHeight,
      data,
    });
    const cut = this.#cut(picture, name, pictures, resized);
    return { ...this.#valuesOf(cut, picture), data: new Float32Array(0) };
  }

  #cut(image: RgbImage, name: string, pictures: number, resized: Resize): CutPicture {
    const checked: Resize = (from, width, height) => {
      checkImageSize(width, height, `${name} after resizing`);
      return resized(from, width, height);
    };
    return this.settings.layout.cut(image, checked, pictures);
  }

  #valuesOf({ tiles, grid }: CutPicture, picture: RgbImage): Omit<PixelValues, 'data'> {
    const { width, height } = tiles[0] as RgbImage;
    const { packing } = this.settings.layout;
    return {
      width,
      height,
      ...(grid ? { tiles: grid } : {}),
      ...(packing ? { patches: { rows: height / packing.patch, columns: width / packing.patch } } : {}),
      picture: { width: picture.width, height: picture.height },
    };
  }

  /** [tile, 3, height, width] */
  #normalize(tiles: readonly RgbImage[]): Float32Array {
    const size = (tiles[0] as RgbImage).data.length;
    const pixels = size / 3;
    const data = new Float32Array(tiles.length * size);
    for (let channel = 0; channel < 3; channel++) {
      const levels = channelLevels(this.settings, channel);
      tiles.forEach((tile, t) => {
        const plane = t * size + channel * pixels;
        for (let pixel = 0; pixel < pixels; pixel++)
          data[plane + pixel] = levels[tile.data[pixel * 3 + channel]!]!;
      });
    }
    return data;
  }
}

/** What each byte of a channel becomes. */
function channelLevels(
  { backend, rescaleFactor, normalization }: Preprocessing,
  channel: number,
): Float32Array {
  const f32 = Math.fround;
  const fused = backend === 'torchvision' && normalization !== undefined;
  // torchvision's processors scale mean and deviation up, not the bytes down; all in float32.
  const scale = fused && rescaleFactor !== undefined ? f32(1 / rescaleFactor) : 1;
  const mean = f32(f32(normalization?.mean[channel] ?? 0) * scale);
  const std = f32(f32(normalization?.std[channel] ?? 1) * scale);
  return Float32Array.from({ length: 256 }, (_, byte) => {
    if (fused) return f32(byte - mean) / std;
    // numpy's order and precision: the product in float64, the rest in float32. torchvision multiplies in float32.
    const factor = backend === 'torchvision' ? f32(rescaleFactor ?? 1) : (rescaleFactor ?? 1);
    const scaled = f32(byte * factor);
    return normalization ? f32(scaled - mean) / std : scaled;
  });
}
