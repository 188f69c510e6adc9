import { NoticeError } from '../errors.ts';

/** A server that cannot be reached, refuses, or sends something else than asked for. */
export class NetworkError extends NoticeError {
  override readonly name: string = 'NetworkError';
  readonly url: string;
  /** HTTP status, if the server answered. */
  readonly status: number | undefined;
  /** Whether the same request may succeed later. */
  readonly temporary: boolean;
  /** The pause the server asked for. */
  readonly retryAfterMs: number | undefined;

  /** @param what what went wrong at this URL, perhaps in the server's words; the message names both */
  constructor(
    url: string,
    what: string,
    details: { status?: number; temporary: boolean; retryAfterMs?: number | undefined },
    options?: ErrorOptions,
  ) {
    const shown = withoutPassword(url);
    super('network', oneLine(`${shown}: ${what}`), options);
    this.url = shown;
    this.status = details.status;
    this.temporary = details.temporary;
    this.retryAfterMs = details.retryAfterMs;
  }
}

const LONGEST = 600;

/** A text that a server chose, as part of a message: one line of limited length that cannot steer a terminal. */
export function oneLine(text: string): string {
  const line = text.replace(/[\p{C}\s]+/gu, ' ').trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/)[^/?#]*@/, '$1');
}
