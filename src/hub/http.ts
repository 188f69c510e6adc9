// HTTP for data sets, grammar endpoints and the hub: retries with growing pauses.

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

/** Aborts a request when the server has been silent for too long. */
export class SilenceTimer {
  readonly #controller = new AbortController();
  readonly #url: string;
  readonly #silenceMs: number;
  #timeout: ReturnType<typeof setTimeout>;

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

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const silence = `the server was silent for ${this.#silenceMs / 1000} s`;
      this.#controller.abort(new NetworkError(this.#url, silence, { temporary: true }));
    }, this.#silenceMs);
  }
}

export async function request(url: string, init: RequestInit, timer: SilenceTimer): Promise<Response> {
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
export async function retrying<T>(
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
      await new Promise((resolve) => setTimeout(resolve, Math.min(pause, LONGEST_PAUSE_MS)));
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
  const why = cause instanceof Error ? cause.message || (cause as { code?: string }).code : error.message;
  return new NetworkError(url, `${why}`, { temporary: true }, { cause: error });
}

function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('Retry-After');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
