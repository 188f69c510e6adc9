// Where an experiment's images come from: files, or whatever a browser has in their place.

import { NoticeError } from '../../errors.ts';
import type { ImageDecoder, RgbImage } from '../../inputs/index.ts';
import { sha256 } from './keys.ts';

export interface ImageReader {
  /**
   * The bytes of an image that a pair names.
   *
   * @throws NoticeError('image') if it is missing
   */
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  readonly decode: ImageDecoder;
}

/** Paths, or digests of the bytes behind them, of a pair's images. */
export interface PairImages {
  readonly clean: string;
  readonly corrupt: string;
  readonly generated?: string | undefined;
}

/**
 * Reads and decodes an image.
 *
 * @param expected SHA-256 that its bytes had before
 * @returns pixels, and the SHA-256 of the bytes they were decoded from
 * @throws NoticeError('image') if it is missing or damaged, ('data') if it has changed
 */
export async function openImage(
  { read, decode }: ImageReader,
  path: string,
  expected?: string,
): Promise<{ image: RgbImage; digest: string }> {
  const bytes = await read(path);
  const digest = await sha256(bytes);
  if (expected !== undefined && digest !== expected)
    throw new NoticeError(
      'data',
      `${path} has changed since the run began. Run it again: what hangs on that is measured anew.`,
    );
  return { image: await decode(bytes, path), digest };
}
