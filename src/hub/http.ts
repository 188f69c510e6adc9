// HTTP for data sets, grammar endpoints and the hub. Whatever a server does, a request ends: answers have a limit in bytes,
// silence and trickles have one in time, redirects and repeated requests are counted. Each limit is an option.

import { pause, signalsOf } from '../abort.ts';
import { NetworkError } from './errors.ts';

/** `fetch`, as far as it is used here. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface HttpOptions {
  /** Tries without progress before giving up. Default 4. */
  readonly attempts?: number;
  /** Pause before the second try, doubled for each further one; a server's Retry-After goes first. Default 500 ms. */
  readonly pauseMs?: number;
  /** No pause is longer, whatever Retry-After says. Default 60 s. */
  readonly longestPauseMs?: number;
  /** Longest time in which a server sends less than 1 KiB. Default 30 s. */
  readonly silenceMs?: number;
  /** Requests in all for one answer or file, however far each gets. Default 1000. */
  readonly maxRequests?: number;
  /** Redirects that one request follows. Default 10. */
  readonly maxRedirects?: number;
  /** A longer answer or file is refused. Default 32 MiB for answers, none for files. */
  readonly maxBytes?: number;
  /** Ends everything; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Sends one request. Default the platform's own `fetch`. */
  readonly fetch?: Fetch;
}

const TEMPORARY = new Set([408, 425, 429, 500, 502, 503, 504]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MAX_ANSWER_BYTES = 32 * 1024 ** 2;
/** Less than this within the time for silence is silence, and no progress of a download. */
export const LEAST_PROGRESS = 1024;

/**
 * Fetches a text, trying again after a network failure and statuses 408, 425, 429 and 5xx.
 * @throws NetworkError with the status and the server's first words, for any status but 2xx
 */
export async function fetchText(
  url: string,
  init: RequestInit = {},
  options: HttpOptions = {},
): Promise<string> {
  return (await fetchAnswer(url, init, options)).text;
}

/** As {@link fetchText}, with the answer's headers. */
export async function fetchAnswer(
  url: string,
  init: RequestInit = {},
  options: HttpOptions = {},
): Promise<{ text: string; headers: Headers }> {
  const { maxBytes = MAX_ANSWER_BYTES } = options;
  return retrying(url, options, async (watch) => {
    const response = await request(url, init, watch, options);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let received = 0;
    for await (const piece of bodyPieces(response, watch)) {
      received += piece.length;
      checkLength(url, received, maxBytes);
      parts.push(piece);
    }
    return { text: await new Blob(parts).text(), headers: response.headers };
  });
}

/** Refuses what is longer than an option allows. */
export function checkLength(url: string, bytes: number, most: number | undefined): void {
  if (most !== undefined && bytes > most) {
    throw new NetworkError(url, `longer than ${most} bytes`, { temporary: false });
  }
}

/** The body of a response, piece by piece. Whoever stops early ends the transfer. */
export async function* bodyPieces(
  response: Response,
  watch?: Watch,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watch?.received(value.length);
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Aborts a request when the server has sent too little for too long, or the caller wants no more. */
export class Watch {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #silenceMs: number;
  readonly #url: string;
  #timeout: ReturnType<typeof setTimeout>;
  #received = 0;

  constructor(url: string, silenceMs = 30_000, signal?: AbortSignal) {
    this.#url = url;
    this.#silenceMs = silenceMs;
    this.signal = signal ? AbortSignal.any([this.#controller.signal, signal]) : this.#controller.signal;
    this.#timeout = this.#start();
  }

  received(bytes: number): void {
    this.#received += bytes;
    if (this.#received >= LEAST_PROGRESS) this.restart();
  }

  restart(): void {
    this.#received = 0;
    clearTimeout(this.#timeout);
    this.#timeout = this.#start();
  }

  stop(): void {
    clearTimeout(this.#timeout);
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const seconds = this.#silenceMs / 1000;
      const silence = this.#received
        ? `the server sent ${this.#received} bytes in ${seconds} s`
        : `the server was silent for ${seconds} s`;
      this.#controller.abort(new NetworkError(this.#url, silence, { temporary: true }));
    }, this.#silenceMs);
  }
}

/** Set once a redirect came without its address: so browsers answer whoever does not let them follow it. */
let redirectsHidden = false;

/**
 * Sends a request and follows its redirects. Credentials stay with the origin they were meant for; where the platform hides
 * where a redirect leads (browsers), it is the platform that follows it and sees to that, as the Fetch standard has it.
 * @param accept further statuses that are answers
 * @returns a response with a 2xx status, its body not yet read
 * @throws NetworkError for any other; its words are the server's, without the credentials
 */
export async function request(
  url: string,
  init: RequestInit,
  watch: Watch,
  {
    maxRedirects = 10,
    fetch = globalThis.fetch,
    accept = [],
  }: HttpOptions & { readonly accept?: readonly number[] },
): Promise<Response> {
  let address = checkAddress(url, url);
  const headers = headersOf(url, init);
  const authorization = headers.get('Authorization');
  for (let redirects = 0; ; redirects++) {
    const { signal } = watch;
    const redirect = redirectsHidden ? 'follow' : 'manual';
    const response = await fetch(address.href, { ...init, headers, redirect, signal });
    watch.restart();
    if (response.ok || accept.includes(response.status)) return response;
    if (response.type === 'opaqueredirect') {
      redirectsHidden = true;
      continue;
    }
    const location = response.headers.get('Location');
    if (REDIRECTS.has(response.status) && location !== null) {
      await response.body?.cancel();
      const shown = withoutSecret(location, authorization);
      if ((init.method ?? 'GET') !== 'GET')
        throw new NetworkError(url, `redirects to ${shown}; name that address`, { temporary: false });
      if (redirects >= maxRedirects)
        throw new NetworkError(url, `redirects more than ${maxRedirects} times`, { temporary: false });
      const next = URL.canParse(location, address.href) ? new URL(location, address.href).href : location;
      const target = checkAddress(next, url, `redirects to ${shown}, `);
      if (target.origin !== address.origin) headers.delete('Authorization');
      address = target;
      continue;
    }
    const words = await firstWords(response, authorization);
    throw new NetworkError(url, `HTTP ${response.status}${words && `, ${words}`}`, {
      status: response.status,
      temporary: TEMPORARY.has(response.status),
      retryAfterMs: retryAfter(response.headers),
    });
  }
}

/** The platform's own message would quote a header that cannot be sent, which may be a key. */
function headersOf(url: string, init: RequestInit): Headers {
  try {
    return new Headers(init.headers);
  } catch {
    const what = 'a header of the request has characters that cannot be sent; is the key whole?';
    throw new NetworkError(url, what, { temporary: false });
  }
}

/** An address that may be asked. One with a password would be quoted with it in messages of the platform. */
function checkAddress(address: string, asked: string, before = ''): URL {
  if (!/^https?:/i.test(address) || !URL.canParse(address))
    throw new NetworkError(asked, `${before}not an http or https address`, { temporary: false });
  const url = new URL(address);
  if (url.username || url.password)
    throw new NetworkError(asked, `${before}an address with a user name or password`, { temporary: false });
  return url;
}

const FIRST_WORDS = 200;

/** What an error page begins with, or the `error` of JSON; of an endless or broken one, what came. */
async function firstWords(response: Response, authorization: string | null): Promise<string> {
  const decoder = new TextDecoder();
  const most = 20 * FIRST_WORDS;
  let text = '';
  try {
    for await (const piece of bodyPieces(response)) {
      text += decoder.decode(piece.subarray(0, most), { stream: true });
      if (text.length >= most) break;
    }
  } catch {
    // The status says more than a second error would.
  }
  // The end could be the beginning of a secret.
  const whole = text.length < most ? text : text.slice(0, most / 2);
  return withoutSecret(errorOf(text) ?? whole, authorization)
    .trim()
    .slice(0, FIRST_WORDS);
}

function errorOf(json: string): string | undefined {
  try {
    const { error, message } = JSON.parse(json) as { error?: unknown; message?: unknown };
    return [error, message].find((words) => typeof words === 'string') as string | undefined;
  } catch {
    return undefined;
  }
}

/** A server may quote the request. */
export function withoutSecret(text: string, authorization: string | null | undefined): string {
  const secret = authorization?.split(' ').at(-1);
  return secret ? text.replaceAll(secret, '[secret]') : text;
}

/** Runs `task` until it succeeds, fails for good, or has failed `attempts` times in which `progress` reached no further. */
export async function retrying<T>(
  url: string,
  {
    attempts = 4,
    pauseMs = 500,
    longestPauseMs = 60_000,
    maxRequests = 1000,
    silenceMs,
    signal,
  }: HttpOptions,
  task: (watch: Watch) => Promise<T>,
  progress: () => Promise<number> = () => Promise.resolve(0),
): Promise<T> {
  let reached = await progress();
  let failed = 0;
  for (let requests = 1; ; requests++) {
    signal?.throwIfAborted();
    const watch = new Watch(url, silenceMs, signal);
    try {
      return await task(watch);
    } catch (error) {
      const failure = asNetworkError(url, error);
      const now = await progress();
      failed = now >= reached + LEAST_PROGRESS ? 1 : failed + 1;
      reached = Math.max(reached, now);
      if (!failure.temporary || failed >= attempts || requests >= maxRequests) throw failure;
      const wait = Math.min(failure.retryAfterMs ?? pauseMs * 2 ** (failed - 1), longestPauseMs);
      await pause(wait, signalsOf(signal));
    } finally {
      watch.stop();
    }
  }
}

/**
 * What `fetch` throws, in the user's words. It and its body fail with a TypeError; anything else, such as a full disk, is
 * not the network's fault and thrown as it is.
 */
function asNetworkError(url: string, error: unknown): NetworkError {
  if (error instanceof NetworkError) return error;
  if (!(error instanceof TypeError)) throw error;
  const { cause } = error;
  const why = cause instanceof Error ? cause.message || (cause as { code?: string }).code : error.message;
  return new NetworkError(url, `${why}`, { temporary: true }, { cause: error });
}

function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('Retry-After');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
