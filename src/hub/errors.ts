import { NoticeError } from '../errors.ts';

/** A server that cannot be reached, refuses, or sends something else than asked for. */
export class NetworkError extends NoticeError {
  readonly url: string;
  /** HTTP status, if the server answered. */
  readonly status: number | undefined;
  /** Whether the same request may succeed later. */
  readonly temporary: boolean;
  /** The pause the server asked for. */
  readonly retryAfterMs: number | undefined;

  /** @param what what went wrong at this URL; the message names both */
  constructor(
    url: string,
    what: string,
    details: { status?: number; temporary: boolean; retryAfterMs?: number | undefined },
    options?: ErrorOptions,
  ) {
    super('network', `${url}: ${what}`, options);
    this.url = url;
    this.status = details.status;
    this.temporary = details.temporary;
    this.retryAfterMs = details.retryAfterMs;
  }
}
