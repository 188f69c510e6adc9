// Downloads to a file that go on where they stopped.

import { open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { NetworkError } from '../../../hub/errors.ts';
import { type RetryOptions, request, retrying, type SilenceTimer } from '../../../hub/http.ts';

export interface DownloadOptions extends RetryOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A longer file is refused. */
  readonly maxBytes?: number;
  readonly onProgress?: (received: number, total: number | undefined) => void;
}

/**
 * Downloads a file to `partial`, going on where an earlier call stopped if the server's file is still the same one
 * (Range and If-Range, with the ETag or date kept in `partial` + ".validator"). The caller checks and renames it.
 * @returns its size in bytes
 * @throws NetworkError
 */
export async function downloadTo(
  url: string,
  partial: string,
  options: DownloadOptions = {},
): Promise<number> {
  const size = () => sizeOf(partial);
  const bytes = await retrying(url, options, (timer) => downloadOnce(url, partial, options, timer), size);
  await rm(validatorFile(partial), { force: true });
  return bytes;
}

/** Removes what a download left. */
export async function discardPartial(partial: string): Promise<void> {
  await rm(partial, { force: true });
  await rm(validatorFile(partial), { force: true });
}

const validatorFile = (partial: string): string => `${partial}.validator`;

async function downloadOnce(
  url: string,
  partial: string,
  options: DownloadOptions,
  timer: SilenceTimer,
): Promise<number> {
  const validator = await readFile(validatorFile(partial), 'utf8').catch(() => undefined);
  const have = validator === undefined ? 0 : await sizeOf(partial);
  // A compressed answer could not be gone on with, and its length would not be the file's.
  const headers = new Headers({ 'Accept-Encoding': 'identity', ...options.headers });
  if (have > 0 && validator) {
    headers.set('Range', `bytes=${have}-`);
    headers.set('If-Range', validator);
  }
  let response: Response;
  try {
    response = await request(url, { headers }, timer);
  } catch (error) {
    if (!(error instanceof NetworkError && error.status === 416)) throw error;
    await rm(validatorFile(partial), { force: true });
    throw new NetworkError(url, 'the rest is refused; starting again', { temporary: true });
  }
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
  const resumed = response.status === 206;
  if (resumed && Number(range?.[1]) !== have) {
    await rm(validatorFile(partial), { force: true });
    throw new NetworkError(url, 'another part of the file came than asked for', { temporary: true });
  }
  const length = response.headers.get('Content-Length');
  const total = resumed ? Number(range?.[2]) : length === null ? undefined : Number(length);
  checkLength(url, total ?? 0, options.maxBytes);
  if (!resumed) await keepValidator(partial, response.headers);

  const file = await open(partial, resumed ? 'a' : 'w');
  let received = resumed ? have : 0;
  try {
    for await (const chunk of response.body ?? []) {
      timer.restart();
      received += chunk.length;
      checkLength(url, received, options.maxBytes);
      await file.writeFile(chunk);
      options.onProgress?.(received, total);
    }
  } finally {
    await file.close();
  }
  if (total !== undefined && received !== total) {
    throw new NetworkError(url, `ended after ${received} of ${total} bytes`, { temporary: true });
  }
  return received;
}

async function keepValidator(partial: string, headers: Headers): Promise<void> {
  const etag = headers.get('ETag');
  const strong = etag?.startsWith('W/') ? undefined : etag;
  const validator = strong ?? headers.get('Last-Modified');
  if (validator) await writeFile(validatorFile(partial), validator);
  else await rm(validatorFile(partial), { force: true });
}

function checkLength(url: string, bytes: number, most: number | undefined): void {
  if (most !== undefined && bytes > most) {
    throw new NetworkError(url, `longer than ${most} bytes`, { temporary: false });
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}
