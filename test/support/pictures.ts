// What is refused of test/fixtures/pictures, and in which words. All others give Pillow's pixels.

export interface Picture {
  readonly name: string;
  readonly base64: string;
  /** Width and height; null where Pillow refuses the file. */
  readonly size: readonly [number, number] | null;
  /** Of the RGB bytes. */
  readonly sha256: string | null;
}

const OTHER_KINDS: Readonly<Record<string, RegExp>> = {
  'picture.bmp': /BMP images are not supported here; use png/,
  'picture.avif': /AVIF images are not supported/,
  'picture.jp2': /JPEG 2000 images are not supported/,
  'picture.ppm': /cannot be decoded as an image: it is none of png/,
};

const YCBCR = /TIFF with YCbCr that is not compressed as JPEG is not supported/;

export const REFUSED_IN_NODE: Readonly<Record<string, RegExp>> = {
  ...OTHER_KINDS,
  'grey12.tif': /TIFF with 12 bits/,
  'grey_premultiplied.tif': /TIFF with premultiplied alpha/,
  'grey_two_samples.tif': /TIFF with 2 samples for grey/,
  'rgb16_planes.tif': /TIFF with 16 bits in separate planes/,
  'rgba16_premultiplied.tif': /TIFF with premultiplied alpha/,
  'rgb_float.tif': /TIFF with RGB of 32 bits/,
  'rgb32.tif': /TIFF with RGB of 32 bits/,
  'palette_of_bytes.tif': /TIFF with a palette of 8 bits/,
  'cmyk16.tif': /TIFF with CMYK of 16 bits/,
  'cmyk_alpha.tif': /TIFF with CMYK of 5 samples/,
  'ycbcr.tif': YCBCR,
  'ycbcr_deflated.tif': YCBCR,
  'lab.tif': /TIFF with Lab colours/,
  'lab16.tif': /TIFF with Lab colours/,
  'logluv.tif': /TIFF with photometric interpretation 32845/,
  'zstd.tif': /ZSTD compression support is not configured/,
  'lzma.tif': /LZMA compression support is not configured/,
};

/** @returns in which words a browser refuses a picture; undefined for one that it reads */
export function refusedInBrowsers(name: string): RegExp | undefined {
  if (/\.tif$/.test(name)) return /tiff images are not supported here; use png, jpeg, webp, gif/;
  if (/^grey16.*\.png$/.test(name)) return /16-bit grey PNG cannot be read exactly/;
  return OTHER_KINDS[name];
}
