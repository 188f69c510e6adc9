// The first frame of a GIF, as Pillow shows it: transparent pixels keep the palette's colour, what the frame leaves free
// has the transparent colour, or the first of the palette.
import { NoticeError } from '../errors.ts';
import { checkImageSize, type RgbImage } from './image.ts';

export interface GifFrame {
  /** A GIF of this frame alone: opaque, 256 colours, as large as the frame. */
  readonly file: Uint8Array;
  /** Where the frame lies on the canvas. */
  readonly left: number;
  readonly top: number;
  /** The canvas, in pixels. */
  readonly width: number;
  readonly height: number;
  /** RGB of the canvas beside the frame. */
  readonly fill: Uint8Array;
}

/** @throws NoticeError('image') without a frame, cut short in it, or with a canvas that is too large */
export function firstGifFrame(bytes: Uint8Array, name: string): GifFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cut = (): never => {
    throw new NoticeError('image', `${name}: cannot be decoded as an image: the GIF is cut short.`);
  };
  // Pillow's palette: what the file leaves out is grey.
  let palette = Uint8Array.from({ length: 768 }, (_, index) => index / 3);
  let at = 13;
  const readPalette = (flags: number): void => {
    if (!(flags & 0x80)) return;
    const colours = bytes.subarray(at, at + 3 * 2 ** ((flags & 7) + 1));
    palette = Uint8Array.from({ length: 768 }, (_, index) => colours[index] ?? index / 3);
    at += 3 * 2 ** ((flags & 7) + 1);
  };
  /** Behind the blocks that begin at a place: each one's length, then its bytes, until a length of zero. */
  const behindBlocks = (start: number): number => {
    let end = start;
    while (bytes[end]) end += bytes[end]! + 1;
    return end <= bytes.length ? end + 1 : cut();
  };

  readPalette(bytes[10] ?? 0);
  let transparent = 0;
  for (; bytes[at] !== 0x2c; at++) {
    if (at >= bytes.length) cut();
    if (bytes[at] === 0x3b) throw new NoticeError('image', `${name}: the GIF has no picture.`);
    if (bytes[at] !== 0x21) continue; // Pillow passes over stray bytes
    const hasTransparency = bytes[at + 1] === 0xf9 && ((bytes[at + 3] ?? 0) & 1) === 1;
    if (hasTransparency) transparent = bytes[at + 6] ?? 0;
    at = behindBlocks(at + 2) - 1;
  }
  if (at + 11 > bytes.length) cut();
  const [left, top, frameWidth, frameHeight] = [1, 3, 5, 7].map((offset) =>
    view.getUint16(at + offset, true),
  ) as [number, number, number, number];
  checkImageSize(frameWidth, frameHeight, name);
  const width = Math.max(view.getUint16(6, true), left + frameWidth);
  const height = Math.max(view.getUint16(8, true), top + frameHeight);
  checkImageSize(width, height, name);
  const flags = bytes[at + 9]!;
  at += 10;
  readPalette(flags);
  if (at >= bytes.length) cut();
  const pixels = bytes.subarray(at, behindBlocks(at + 1)); // the size of its codes stands before the blocks

  const size = [frameWidth & 255, frameWidth >> 8, frameHeight & 255, frameHeight >> 8];
  const screen = [...Array.from('GIF89a', (letter) => letter.charCodeAt(0)), ...size, 0xf7, 0, 0];
  const frame = [0x2c, 0, 0, 0, 0, ...size, flags & 0x40]; // keeps whether it is interlaced
  const file = Uint8Array.from([...screen, ...palette, ...frame, ...pixels, 0, 0x3b]);
  return { file, left, top, width, height, fill: palette.subarray(transparent * 3, transparent * 3 + 3) };
}

/** A decoded frame on its canvas. */
export function onCanvas(image: RgbImage, { left, top, width, height, fill }: GifFrame): RgbImage {
  if (image.width === width && image.height === height) return image;
  const data = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) data.set(fill, pixel * 3);
  for (let y = 0; y < image.height; y++) {
    const row = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
    data.set(row, ((top + y) * width + left) * 3);
  }
  return { width, height, data };
}
