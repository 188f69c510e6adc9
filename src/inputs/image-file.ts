// Files of pictures as decoders must be given them to show what Pillow shows: one rule for Node and browsers.
import { NoticeError } from '../errors.ts';
import { firstGifFrame, onCanvas } from './gif.ts';
import { checkImageSize, type RgbImage } from './image.ts';

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff';

/** MP4 and QuickTime (what else begins with `ftyp`), Matroska and WebM, AVI, MPEG, Ogg. */
const VIDEO = 'video';

/** How files begin, one byte a character; "." is any byte. Kinds that are not read have a name for the message. */
const SIGNATURES: readonly (readonly [kind: string, signature: RegExp])[] = [
  ['png', /^\x89PNG\r\n.\n/],
  ['jpeg', /^\xff\xd8\xff/],
  ['webp', /^RIFF....WEBP/s],
  ['gif', /^GIF8[79]a/],
  ['tiff', /^(II[*+]\0|MM\0[*+])/],
  ['AVIF', /^....ftypavi[fs]/s],
  ['HEIF', /^....ftyp(he[iv][cmsx]|mif1|msf1)/s],
  ['JPEG XL', /^(\xff\n|....JXL )/s],
  ['JPEG 2000', /^(\xffO\xffQ|....jP {2})/s],
  ['BMP', /^BM/],
  ['SVG', /^\s*<(svg|\?xml|!DOCTYPE svg)/i],
  ['PDF', /^%PDF/],
  [VIDEO, /^(....ftyp|.E\xdf\xa3|RIFF....AVI |\0\0.[\xb3\xba]|OggS)/s],
];

/**
 * Decodes the first picture of a file.
 *
 * @param formats those that `decode` reads
 * @param decode given the file without what changes a decoder's picture: EXIF, APNG's frames; of a GIF the first
 *   frame alone and opaque
 * @throws NoticeError('image') naming the file: empty, another kind, no picture in it, too large; and what `decode` throws
 */
export async function decodePicture(
  bytes: Uint8Array,
  name: string,
  formats: readonly ImageFormat[],
  decode: (file: Uint8Array, format: ImageFormat) => Promise<RgbImage>,
): Promise<RgbImage> {
  const format = imageFormat(bytes, name, formats);
  if (format === 'gif') {
    const frame = firstGifFrame(bytes, name);
    return onCanvas(await decode(frame.file, format), frame);
  }
  if (format === 'png' && bytes.length >= 24) {
    const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    checkImageSize(header.getUint32(16), header.getUint32(20), name);
  }
  const dropped = format === 'jpeg' ? jpegExif(bytes) : format === 'png' ? pngExtras(bytes) : [];
  return decode(dropped.length === 0 ? bytes : without(bytes, dropped), format);
}

/**
 * The kind of a picture, by how its file begins.
 *
 * @throws NoticeError('image') naming the file and its kind, if that is none of `formats`
 */
export function imageFormat(
  bytes: Uint8Array,
  name: string,
  formats: readonly ImageFormat[] = ['png', 'jpeg', 'webp', 'gif', 'tiff'],
): ImageFormat {
  if (bytes.length === 0) throw new NoticeError('image', `${name}: the file is empty.`);
  const start = String.fromCharCode(...bytes.subarray(0, 64));
  const kind = SIGNATURES.find(([, signature]) => signature.test(start))?.[0];
  const format = formats.find((format) => format === kind);
  if (format) return format;
  if (kind === VIDEO)
    throw new NoticeError(
      'image',
      `${name}: videos are not read, only pictures: save the frame in question.`,
    );
  const use = formats.join(', ');
  throw new NoticeError(
    'image',
    kind === undefined
      ? `${name}: cannot be decoded as an image: it is none of ${use}.`
      : `${name}: ${kind} images are not supported here; use ${use}.`,
  );
}

/** Bytes from `start` up to `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

function without(file: Uint8Array, ranges: readonly Range[]): Uint8Array {
  const kept = new Uint8Array(file.length);
  let length = 0;
  let from = 0;
  for (const { start, end } of [...ranges, { start: file.length, end: file.length }]) {
    const piece = file.subarray(from, start);
    kept.set(piece, length);
    length += piece.length;
    from = end;
  }
  return kept.subarray(0, length);
}

/** Places of a JPEG's APP1 segments, which hold EXIF, before the first scan. */
function jpegExif(file: Uint8Array): Range[] {
  const found = [];
  let start = 2;
  while (file[start] === 0xff && file[start + 1] !== 0xda) {
    if (file[start + 1] === 0xff) {
      start++; // padding before a marker
      continue;
    }
    const end = start + 2 + ((file[start + 2] ?? 0) << 8) + (file[start + 3] ?? 0);
    if (file[start + 1] === 0xe1) found.push({ start, end });
    start = end;
  }
  return found;
}

/** Places of a PNG's EXIF and of the frames of its animation: Pillow's picture is the default image. */
function pngExtras(file: Uint8Array): Range[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found = [];
  for (let start = 8; start + 12 <= file.length; ) {
    const end = start + 12 + view.getUint32(start);
    const kind = String.fromCharCode(...file.subarray(start + 4, start + 8));
    if (['eXIf', 'acTL', 'fcTL', 'fdAT'].includes(kind)) found.push({ start, end });
    start = end;
  }
  return found;
}
