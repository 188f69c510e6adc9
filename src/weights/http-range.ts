// One HTTP range request (RFC 9110, section 14), and what servers make of it.

import { NetworkError } from '../hub/errors.ts';
import { bodyPieces, checkLength, type HttpOptions, request, retrying, type Watch } from '../hub/http.ts';

/** Where a file is, and how it is asked for. */
export interface Address {
  readonly url: string;
  /** What goes with every request. */
  readonly init: RequestInit;
  readonly http: HttpOptions;
}

/** Statuses that say that there is no such file. */
const MISSING = [404, 410];
/** A range that begins behind the file's end: one of zero bytes satisfies none. */
const NOT_SATISFIABLE = 416;

export interface RangeAnswer {
  /** Whether the server ignores ranges and sends the whole file. */
  readonly whole: boolean;
  /** Where in the file the bytes begin. */
  readonly begin: number;
  readonly pieces: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/**
 * Asks for bytes `begin` to `end` (exclusive) of a file that is known.
 *
 * @throws NetworkError if other bytes come, or those of another version of the file
 */
export async function askRange(
  address: Address,
  begin: number,
  end: number,
  watch: Watch,
  { size, etag }: { readonly size: number; readonly etag?: string | undefined },
): Promise<RangeAnswer> {
  const { url } = address;
  const response = await send(address, begin, end, watch);
  const refuse = async (what: string): Promise<never> => {
    await response.body?.cancel();
    throw new NetworkError(url, what, { temporary: false });
  };
  const found = response.headers.get('ETag');
  if (etag && found && etag !== found)
    await refuse(`the file has changed on the server (its ETag was ${etag} and is ${found}): load it again`);
  const pieces = bodyPieces(response, watch);
  if (response.status !== 206) {
    const length = lengthOf(response);
    if (length !== undefined && length !== size)
      await refuse(`the whole file came, with ${length} bytes instead of ${size}`);
    return { whole: true, begin: 0, pieces };
  }
  const text = response.headers.get('Content-Range');
  // Servers of other origins may hide it; what length the file must have is known here.
  if (text === null) return { whole: false, begin, pieces };
  const range = parseRange(text);
  if (range?.begin !== begin || range.end !== end || range.size !== size)
    await refuse(
      `asked for bytes ${begin} to ${end} of ${size}, got Content-Range ${text}. ` +
        'If the file has changed on the server, load it again',
    );
  return { whole: false, begin, pieces };
}

/** What an answer to the first request says of a file. */
export interface Opened {
  /** Bytes. */
  readonly size: number;
  readonly etag: string | undefined;
  /** ETag, or else date: what tells this version from others. */
  readonly tag: string | undefined;
  /** The file's beginning; undefined if the server would send the whole of a longer file. */
  readonly first: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * Asks for a file's beginning. A page of HTML where a file is expected is what many servers answer in place of a 404.
 *
 * @param most bytes of the beginning, and of a file of unknown length in all
 * @returns 'missing' if there is no such file, 'page' if there is a page of HTML in its place
 * @throws NetworkError
 */
export async function askFirst(
  address: Address,
  { bytes, mostUnknown }: { readonly bytes: number; readonly mostUnknown: number },
): Promise<Opened | 'missing' | 'page'> {
  const { url, http } = address;
  return retrying(url, http, async (watch) => {
    const response = await send(address, 0, bytes, watch, [...MISSING, NOT_SATISFIABLE]);
    const { status, headers } = response;
    const etag = headers.get('ETag') ?? undefined;
    const tag = etag ?? headers.get('Last-Modified') ?? undefined;
    const range = headers.get('Content-Range') ?? '';
    try {
      if (MISSING.includes(status)) return 'missing';
      if (status === NOT_SATISFIABLE) {
        if (/^bytes \*\/0$/.test(range)) return { size: 0, etag, tag, first: new Uint8Array(0) };
        throw new NetworkError(url, 'HTTP 416, no range of bytes can be had', { status, temporary: false });
      }
      if (/^text\/html\b/i.test(headers.get('Content-Type') ?? '')) return 'page';
      if (status === 206) {
        const { begin, end, size } = parseRange(range) ?? noRange(url, range);
        if (begin !== 0 || end !== Math.min(bytes, size))
          throw new NetworkError(url, `asked for the first ${bytes} bytes, got Content-Range ${range}`, {
            temporary: false,
          });
        return { size, etag, tag, first: await collect(response, url, watch, end, end) };
      }
      const size = lengthOf(response);
      if (size !== undefined && size > bytes) return { size, etag, tag, first: undefined };
      const first = await collect(response, url, watch, size, mostUnknown);
      return { size: first.length, etag, tag, first };
    } finally {
      await response.body?.cancel().catch(() => {});
    }
  });
}

async function send(
  { url, init, http }: Address,
  begin: number,
  end: number,
  watch: Watch,
  accept: readonly number[] = [],
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('Range', `bytes=${begin}-${end - 1}`);
  return request(url, { ...init, headers }, watch, { ...http, accept });
}

/** A body, which has `length` bytes if that is known, and no more than `most`. */
async function collect(
  response: Response,
  url: string,
  watch: Watch,
  length: number | undefined,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let received = 0;
  for await (const piece of bodyPieces(response, watch)) {
    received += piece.length;
    checkLength(url, received, length ?? most);
    parts.push(piece);
  }
  if (length !== undefined && received !== length)
    throw new NetworkError(url, `ended after ${received} of ${length} bytes`, { temporary: true });
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The length of the body as it is read: that of a compressed one is not announced. */
function lengthOf({ headers }: Response): number | undefined {
  const length = headers.get('Content-Length');
  const encoded = (headers.get('Content-Encoding') ?? 'identity') !== 'identity';
  return length === null || encoded ? undefined : Number(length);
}

/** The header's range with an exclusive end. */
function parseRange(text: string): { begin: number; end: number; size: number } | undefined {
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text) ?? [];
  return size === undefined ? undefined : { begin: Number(first), end: Number(last) + 1, size: Number(size) };
}

function noRange(url: string, text: string): never {
  throw new NetworkError(
    url,
    `a partial response needs Content-Range "bytes first-last/size", found ${text || '(none)'}. ` +
      'A server of another origin must list Content-Range in Access-Control-Expose-Headers',
    { temporary: false },
  );
}
