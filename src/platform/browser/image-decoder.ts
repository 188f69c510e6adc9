import { NoticeError } from '../../errors.ts';
import {
  checkImageSize,
  decodePicture,
  type ImageDecoder,
  type ImageFormat,
  type RgbImage,
} from '../../inputs/index.ts';

/** What browsers read; none of them reads TIFF. */
const FORMATS: readonly ImageFormat[] = ['png', 'jpeg', 'webp', 'gif'];

/**
 * Decodes with the browser's own decoders, in windows and workers.
 *
 * The pixels are Pillow's, or the file is refused: the table in docs/library.md. Colour profiles and the orientation of
 * JPEG and PNG are left out of account and alpha is dropped without blending. PNG, GIF and lossless WebP give the exact
 * bytes everywhere. JPEG and lossy WebP depend on the browser's decoder: Chromium's (libjpeg-turbo, libwebp) gives
 * Pillow's bytes, others may differ by a few levels. A browser that adds noise to what pages read back, against
 * fingerprinting, spoils all of them.
 *
 * @throws NoticeError('image') naming the file; also for what a browser shows differently from Pillow: 16-bit grey
 *   PNG (scaled instead of clipped)
 */
export const browserDecoder: ImageDecoder = (bytes, name) =>
  decodePicture(bytes, name, FORMATS, async (file, format) => {
    if (format === 'png' && file[24] === 16 && file[25] === 0) {
      fail(name, '16-bit grey PNG cannot be read exactly in a browser. Save it with 8 bits.');
    }
    const bitmap = await createBitmap(file, name);
    try {
      checkImageSize(bitmap.width, bitmap.height, name);
      return toRgb(readPixels(bitmap, name), bitmap.width, bitmap.height);
    } finally {
      bitmap.close();
    }
  });

function fail(name: string, problem: string, cause?: unknown): never {
  throw new NoticeError('image', `${name}: ${problem}`, { cause });
}

/** Its file has no EXIF: the option imageOrientation cannot be used, browsers turn the picture even for `none`. */
async function createBitmap(bytes: Uint8Array, name: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>]), {
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
    });
  } catch (cause) {
    fail(name, 'the browser cannot decode it. Is it a complete PNG, JPEG, WebP or GIF?', cause);
  }
}

/** RGBA of every pixel. Through WebGL, since a 2D canvas multiplies colours by alpha and cannot give them back. */
function readPixels(bitmap: ImageBitmap, name: string): Uint8Array {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl) fail(name, 'reading pixels needs WebGL 2, which this browser does not offer.');
  const limit = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
  if (Math.max(width, height) > limit)
    fail(name, `more than ${limit} pixels on a side, this browser's limit.`);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  const error = gl.getError();
  gl.getExtension('WEBGL_lose_context')?.loseContext(); // browsers allow only some 16 contexts
  if (error !== gl.NO_ERROR) fail(name, `reading its pixels failed (WebGL error ${error}).`);
  return rgba;
}

function toRgb(rgba: Uint8Array, width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from]!;
    data[to + 1] = rgba[from + 1]!;
    data[to + 2] = rgba[from + 2]!;
  }
  return { width, height, data };
}
