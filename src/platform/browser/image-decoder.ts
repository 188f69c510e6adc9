import { NoticeError } from '../../errors.ts';
import { checkImageSize, type ImageDecoder, type RgbImage } from '../../inputs/index.ts';
import { startsWith, withoutOrientation } from './image-metadata.ts';

/**
 * Decodes with the browser's own decoders, in windows and workers.
 *
 * Colour profiles and the orientation of JPEG and PNG are left out of account and alpha is dropped without blending,
 * as in Pillow. PNG and lossless WebP give the exact bytes everywhere. JPEG and lossy WebP depend on the browser's
 * decoder: Chromium's (libjpeg-turbo, libwebp) gives Pillow's bytes, others may differ by a few levels. A browser
 * that adds noise to what pages read back, against fingerprinting, spoils all of them.
 *
 * @throws NoticeError('image') naming the file; also for what a browser shows differently from Pillow: 16-bit grey
 *   PNG (scaled instead of clipped) and GIF with transparency (the colour beneath is lost)
 */
export const browserDecoder: ImageDecoder = async (bytes, name) => {
  if (startsWith(bytes, '\x89PNG') && bytes[24] === 16 && bytes[25] === 0) {
    fail(name, '16-bit grey PNG cannot be read exactly in a browser. Save it with 8 bits.');
  }
  const bitmap = await createBitmap(bytes, name);
  try {
    checkImageSize(bitmap.width, bitmap.height, name);
    const rgba = readPixels(bitmap, name);
    if (startsWith(bytes, 'GIF8') && rgba.some((value, index) => index % 4 === 3 && value < 255)) {
      fail(name, 'GIF with transparency is not supported. Save it as PNG.');
    }
    return toRgb(rgba, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
};

function fail(name: string, problem: string, cause?: unknown): never {
  throw new NoticeError('image', `${name}: ${problem}`, { cause });
}

/** The option imageOrientation cannot be used: browsers turn the picture even for `none`. */
async function createBitmap(bytes: Uint8Array, name: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(new Blob(withoutOrientation(bytes)), {
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
