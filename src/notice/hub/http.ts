// HTTP for data sets, grammar endpoints and the hub: retries with growing pauses, and downloads that go on where they
// stopped.

import { open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { NetworkError } from './errors.ts';

export interface RetryOptions {
  /** Tries without progress before giving up. Default 4. */
  readonly attempts?: number;
  /** Pause before the second try, doubled for each further one; a server's Retry-After goes first. Default 500 ms. */
  readonly pauseMs?: number;
  /** Longest silence of the server. Default 30 s. */
  readonly silenceMs?: number;
}

const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);
const LONGEST_PAUSE_MS = 60_000;

/**
 * Fetches a text, trying again after a network failure and statuses 408, 425, 429 and 5xx.
 * @throws NetworkError with the status and the server's first words, for any status but 2xx
 */
export async function fetchText(
  url: string,
  init: RequestInit = {},
  retry: RetryOptions = {},
): Promise<string> {
  return retrying(url, retry, async (timer) => {
    const response = await request(url, init, timer);
    return await response.text();
  });
}

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

/** Aborts a request when the server has been silent for too long. */
class SilenceTimer {
  readonly #controller = new AbortController();
  readonly #url: string;
  readonly #silenceMs: number;
  #timeout: NodeJS.Timeout;

  constructor(url: string, silenceMs: number) {
    this.#url = url;
    this.#silenceMs = silenceMs;
    this.#timeout = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timeout);
    this.#timeout = this.#start();
  }

  stop(): void {
    clearTimeout(this.#timeout);
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      const silence = `the server was silent for ${this.#silenceMs / 1000} s`;
      this.#controller.abort(new NetworkError(this.#url, silence, { temporary: true }));
    }, this.#silenceMs);
  }
}

async function request(url: string, init: RequestInit, timer: SilenceTimer): Promise<Response> {
  if (!/^https?:/i.test(url) || !URL.canParse(url)) {
    throw new NetworkError(url, 'not an http or https address', { temporary: false });
  }
  const response = await fetch(url, { ...init, signal: timer.signal });
  timer.restart();
  if (response.ok) return response;
  const words = (await response.text()).trim().slice(0, 200);
  throw new NetworkError(url, `HTTP ${response.status}${words && `, ${words}`}`, {
    status: response.status,
    temporary: TEMPORARY.has(response.status),
    retryAfterMs: retryAfter(response.headers),
  });
}

/** Runs `task` until it succeeds, fails for good, or has failed `attempts` times in which `progress` did not grow. */
async function retrying<T>(
  url: string,
  { attempts = 4, pauseMs = 500, silenceMs = 30_000 }: RetryOptions,
  task: (timer: SilenceTimer) => Promise<T>,
  progress: () => Promise<number> = () => Promise.resolve(0),
): Promise<T> {
  let reached = await progress();
  for (let failed = 1; ; failed++) {
    const timer = new SilenceTimer(url, silenceMs);
    try {
      return await task(timer);
    } catch (error) {
      const failure = asNetworkError(url, error);
      const now = await progress();
      if (now > reached) failed = 1;
      reached = now;
      if (!failure.temporary || failed >= attempts) throw failure;
      const pause = failure.retryAfterMs ?? pauseMs * 2 ** (failed - 1);
      await sleep(Math.min(pause, LONGEST_PAUSE_MS));
    } finally {
      timer.stop();
    }
  }
}

/**
 * What `fetch` throws, in the user's words. It and its body fail with a TypeError; anything else, such as a full disk, is
 * not the network's fault and thrown as it is.
 */
export function asNetworkError(url: string, error: unknown): NetworkError {
  if (error instanceof NetworkError) return error;
  if (!(error instanceof TypeError)) throw error;
  const { cause } = error;
  const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : error.message;
  return new NetworkError(url, `${why}`, { temporary: true }, { cause: error });
}

function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('Retry-After');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}
