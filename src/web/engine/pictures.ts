// The pictures of a pair in the page: files of the build, files of the user, painted over.

import { NoticeError } from '../../errors.ts';
import { paintOver, type RgbImage } from '../../inputs/index.ts';
import type { ImageReader } from '../../notice/experiment/images.ts';
import { browserDecoder } from '../../platform/browser/image-decoder.ts';
import type { PairInfo, PairSpec, Picture } from '../protocol/session.ts';
import { fetchPageFile } from './page-files.ts';
import { CLEAN, CORRUPT } from './pair.ts';

export interface PairPictures {
  readonly reader: ImageReader;
  /** As the page shows them. */
  readonly shown: PairInfo['pictures'];
}

/** @throws NoticeError('image') naming the picture that cannot be read */
export async function picturesOf(
  { clean, image: corruption }: PairSpec,
  signal: AbortSignal,
): Promise<PairPictures> {
  const cleanFile = await fileOf(clean, signal);
  if (corruption.kind === 'picture') {
    const corruptFile = await fileOf(corruption.picture, signal);
    return {
      reader: {
        read: (path) => bytesOf(path === CORRUPT ? corruptFile : cleanFile),
        decode: (bytes, path) => browserDecoder(bytes, nameOf(path === CORRUPT ? corruption.picture : clean)),
      },
      shown: { clean: cleanFile, corrupt: corruptFile },
    };
  }
  const boxes = corruption.kind === 'painted' ? corruption.boxes : [];
  const decode: ImageReader['decode'] = async (bytes, path) => {
    const image = await browserDecoder(bytes, nameOf(clean));
    return path === CLEAN ? image : paintOver(image, boxes);
  };
  const read = () => bytesOf(cleanFile);
  const painted = boxes.length > 0 ? await pngOf(await decode(await read(), CORRUPT)) : undefined;
  return { reader: { read, decode }, shown: { clean: cleanFile, corrupt: painted } };
}

function nameOf(picture: Picture): string {
  return picture.kind === 'embedded' ? picture.path : picture.name;
}

async function fileOf(picture: Picture, signal: AbortSignal): Promise<Blob> {
  return picture.kind === 'embedded' ? fetchPageFile(`data/${picture.path}`, signal) : picture.file;
}

async function bytesOf(file: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await file.arrayBuffer());
}

async function pngOf({ width, height, data }: RgbImage): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new NoticeError('image', 'this browser draws no pictures in workers');
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}
