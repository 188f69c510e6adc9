// Downloads to a file that go on where they stopped.

import { type FileHandle, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { NetworkError } from '../../../hub/errors.ts';
import {
  bodyPieces,
  checkLength,
  type HttpOptions,
  request,
  retrying,
  type Watch,
} from '../../../hub/http.ts';
import { nodeFetch } from '../fetch.ts';
import { named } from '../whole-file.ts';

export interface DownloadOptions extends HttpOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** The file's size in bytes, if it is known: any other is refused. */
  readonly size?: number;
  readonly onProgress?: (received: number, total: number | undefined) => void;
}

/**
 * Downloads a file to `partial`, going on where an earlier call stopped if the server's file is still the same one
 * (Range and If-Range, with the ETag or date kept in `partial` + ".validator"). Of two processes that write one file each
 * writes the same bytes to the same places. The caller checks and renames it.
 * @returns its size in bytes
 * @throws NetworkError, NoticeError('file')
 */
export async function downloadTo(
  url: string,
  partial: string,
  options: DownloadOptions = {},
): Promise<number> {
  const progress = () => sizeOf(partial);
  return named(partial, async () => {
    const once = (watch: Watch) => downloadOnce(url, partial, options, watch);
    const bytes = await retrying(url, options, once, progress);
    await rm(validatorFile(partial), { force: true });
    return bytes;
  });
}

/**
 * Removes what a download left.
 * @throws NoticeError('file')
 */
export async function discardPartial(partial: string): Promise<void> {
  await named(partial, async () => {
    await rm(partial, { force: true });
    await rm(validatorFile(partial), { force: true });
  });
}

const validatorFile = (partial: string): string => `${partial}.validator`;

async function downloadOnce(
  url: string,
  partial: string,
  options: DownloadOptions,
  watch: Watch,
): Promise<number> {
  const validator = await readFile(validatorFile(partial), 'utf8').catch(() => undefined);
  const have = validator === undefined ? 0 : await sizeOf(partial);
  // A compressed answer could not be gone on with, and its length would not be the file's.
  const headers = new Headers({ 'Accept-Encoding': 'identity', ...options.headers });
  if (have > 0 && validator) {
    headers.set('Range', `bytes=${have}-`);
    headers.set('If-Range', validator);
  }
  const again = async (why: string) => {
    await discardPartial(partial);
    return new NetworkError(url, `${why}; starting again`, { temporary: true });
  };
  let response: Response;
  try {
    response = await request(url, { headers }, watch, { fetch: nodeFetch, ...options });
  } catch (error) {
    if (!(error instanceof NetworkError && error.status === 416)) throw error;
    throw await again('the rest is refused');
  }
  const announced = announcedLength(response);
  const resumed = response.status === 206;
  const total = resumed ? totalOfRest(response, have) : announced;
  if (resumed && (total === undefined || (announced !== undefined && announced !== total - have))) {
    await response.body?.cancel();
    throw await again('another part of the file came than asked for');
  }
  try {
    checkLength(url, total ?? 0, options.maxBytes);
    checkSize(url, total, options.size);
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  if (!resumed) await keepValidator(partial, response.headers);

  const most = total ?? options.size;
  let received = resumed ? have : 0;
  const file = await open(partial, resumed ? 'r+' : 'w');
  try {
    for await (const piece of bodyPieces(response, watch)) {
      if (most !== undefined && received + piece.length > most)
        throw await again(`sends more than the ${most} bytes of the file`);
      checkLength(url, received + piece.length, options.maxBytes);
      await writeAll(file, piece, received);
      received += piece.length;
      options.onProgress?.(received, total);
    }
    await file.sync(); // what is renamed next must not be lost in a power cut
  } finally {
    await file.close();
  }
  if (most !== undefined && received !== most)
    throw new NetworkError(url, `ended after ${received} of ${most} bytes`, { temporary: true });
  return received;
}

/** The file's size, if the answer is all that follows the first `have` bytes. */
function totalOfRest(response: Response, have: number): number | undefined {
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
  const [first, last, total] = (range ?? []).slice(1).map(Number);
  return first === have && last === Number(total) - 1 && Number(total) > have ? total : undefined;
}

/** The length of the body as it is read: a server's that compresses although it was asked not to is another. */
function announcedLength({ headers }: Response): number | undefined {
  const length = headers.get('Content-Length');
  return length === null || isCompressed(headers) ? undefined : Number(length);
}

const isCompressed = (headers: Headers): boolean =>
  (headers.get('Content-Encoding') ?? 'identity') !== 'identity';

function checkSize(url: string, total: number | undefined, size: number | undefined): void {
  if (size !== undefined && total !== undefined && total !== size)
    throw new NetworkError(url, `has ${total} bytes, expected ${size}`, { temporary: false });
}

/** Keeps what tells whether the server's file is still the same. */
async function keepValidator(partial: string, headers: Headers): Promise<void> {
  const etag = headers.get('ETag');
  const validator = etag?.startsWith('"') ? etag : headers.get('Last-Modified');
  if (validator && /^[\x20-\x7e]{1,500}$/.test(validator) && !isCompressed(headers))
    await writeFile(validatorFile(partial), validator);
  else await rm(validatorFile(partial), { force: true });
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}
