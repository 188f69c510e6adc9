import { readFile } from 'node:fs/promises';
import type { Metadata, Sharp } from 'sharp';
import { NoticeError } from '../../errors.ts';
import {
  checkImageSize,
  decodePicture,
  type ImageDecoder,
  type ImageFormat,
  imageFormat,
  type MaskImage,
  type RgbImage,
} from '../../inputs/index.ts';
import { didYouMean } from './near-path.ts';
import { peer } from './peer.ts';
import { tiffProblem } from './tiff.ts';

const FORMATS: readonly ImageFormat[] = ['png', 'jpeg', 'webp', 'tiff', 'gif'];

/**
 * The bytes of an image file.
 *
 * @throws NoticeError('image') if it cannot be read; the message names it
 */
export async function readImageFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = missing ? `no such file.${await didYouMean(path)}` : (cause as Error).message;
    throw new NoticeError('image', `${path}: ${problem}`, { cause });
  }
}

/**
 * Reads and decodes an image file.
 *
 * @throws NoticeError('image') if it is missing, not an image, damaged, empty or too large; the message names it
 */
export async function readImage(path: string): Promise<RgbImage> {
  return decodeImage(await readImageFile(path), path);
}

/**
 * Decodes with libvips (npm `sharp`). The pixels are Pillow's, byte for byte, or the file is refused: the table in
 * docs/library.md. Pillow differs from most viewers in three ways that are kept: 16-bit grey saturates at 255, CMYK is
 * converted without a profile, and only TIFF is turned by its orientation tag.
 */
export const decodeImage: ImageDecoder = (bytes, name) =>
  decodePicture(bytes, name, FORMATS, async (file, format) => {
    const problem = format === 'tiff' ? tiffProblem(file) : undefined;
    if (problem) {
      throw new NoticeError('image', `${name}: TIFF with ${problem} is not supported. Save it as PNG.`);
    }
    const { default: sharp } = await peer('sharp', 'Decoding images', () => import('sharp'));
    try {
      const image = sharp(file, { ignoreIcc: true, failOn: 'error', limitInputPixels: false });
      const metadata = await image.metadata();
      checkImageSize(metadata.width, metadata.height, name);
      return await decode(format === 'tiff' ? image.autoOrient() : image, metadata, file);
    } catch (cause) {
      if (cause instanceof NoticeError) throw cause;
      const reason = (cause as Error).message.split('\n')[0];
      const message = `${name}: cannot be decoded as an image (${reason}). Is the ${format} file complete?`;
      throw new NoticeError('image', message, { cause });
    }
  });

/**
 * Decodes a mask of inpainting, with what its mode says of resizing it.
 *
 * @throws NoticeError('image') as {@link decodeImage}
 */
export async function decodeMask(bytes: Uint8Array, name: string): Promise<MaskImage> {
  const image = await decodeImage(bytes, name);
  const format = imageFormat(bytes, name);
  // IHDR: bit depth and colour type. A palette is Pillow's mode P, a single bit of grey its mode 1.
  const indexed =
    format === 'gif' || (format === 'png' && (bytes[25] === 3 || (bytes[25] === 0 && bytes[24] === 1)));
  if (indexed) return { ...image, indexed };
  const { default: sharp } = await peer('sharp', 'Decoding images', () => import('sharp'));
  const file = sharp(bytes, { ignoreIcc: true });
  if (!(await file.metadata()).hasAlpha) return image;
  return { ...image, alpha: new Uint8Array(await file.extractChannel('alpha').raw().toBuffer()) };
}

/** Images as files, for an experiment. */
export const nodeImages = { read: readImageFile, decode: decodeImage };

/** Chooses the conversion to RGB that Pillow makes for this kind of picture. */
async function decode(image: Sharp, metadata: Metadata, bytes: Uint8Array): Promise<RgbImage> {
  if (metadata.space === 'cmyk') return cmykToRgb(image);
  const pngWithAlpha = metadata.format === 'png' && bytes[25] === 4; // IHDR's colour type: grey with alpha
  if (metadata.space === 'grey16' && !pngWithAlpha) return grey16ToRgb(image);
  const { data, info } = await image
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: new Uint8Array(data) };
}

/** Pillow's I;16 → RGB: values above 255 become 255. */
async function grey16ToRgb(image: Sharp): Promise<RgbImage> {
  const { data, info } = await image
    .removeAlpha()
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const grey = new Uint16Array(data.buffer, data.byteOffset, info.width * info.height);
  const rgb = new Uint8ClampedArray(grey.length * 3);
  grey.forEach((value, pixel) => {
    rgb.fill(value, pixel * 3, pixel * 3 + 3);
  });
  return { width: info.width, height: info.height, data: new Uint8Array(rgb.buffer) };
}

/** Pillow's CMYK → RGB, without a profile: (255 − K) (1 − ink / 255), in its integer arithmetic. */
async function cmykToRgb(image: Sharp): Promise<RgbImage> {
  const { data, info } = await image
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let pixel = 0; pixel < info.width * info.height; pixel++) {
    const light = 255 - data[pixel * 4 + 3]!;
    for (let channel = 0; channel < 3; channel++) {
      const product = data[pixel * 4 + channel]! * light + 128;
      rgb[pixel * 3 + channel] = light - (((product >> 8) + product) >> 8); // product / 255, rounded
    }
  }
  return { width: info.width, height: info.height, data: rgb };
}
