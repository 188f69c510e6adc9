// Files on a web server, read piece by piece with HTTP range requests (RFC 9110, section 14).

import { bodyPieces, Watch } from '../hub/http.ts';
import { type ByteSource, checkRange, memorySource } from './byte-source.ts';
import { WeightsError } from './errors.ts';
import { checkFileName, type ModelSource } from './model-source.ts';

/** The first request asks for this many bytes: most small files come whole, most safetensors headers too. */
const FIRST_BYTES = 64 * 1024;
/** The largest file that is read whole from a server without range requests. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;

/** What goes with every request (headers, credentials, abort signal), and how long an answer may be and take. */
export interface HttpSourceOptions extends RequestInit {
  /** Longest time in which the server sends less than 1 KiB. Default 30 s. */
  readonly silenceMs?: number;
  /** The largest file that is read whole, once, if the server ignores ranges. Default 64 MiB. */
  readonly maxWholeBytes?: number;
}

/**
 * A file at a URL. No more bytes are read than were asked for, whatever the server sends.
 *
 * @throws WeightsError if the file is missing, the server refuses or is silent, or it ignores ranges and the file is larger
 *   than `maxWholeBytes`
 */
export async function httpSource(url: string, options: HttpSourceOptions = {}): Promise<ByteSource> {
  const source = await openUrl(url, options);
  if (!source) throw new WeightsError(`${url} does not exist (HTTP status 404).`);
  return source;
}

/** A model folder on a web server; `https://huggingface.co/{repository}/resolve/{revision}` is one. */
export function httpFolder(baseUrl: string, options: HttpSourceOptions = {}): ModelSource {
  const base = baseUrl.replace(/\/+$/, '');
  return {
    name: base,
    async open(file) {
      checkFileName(file, base);
      return openUrl(`${base}/${file.split('/').map(encodeURIComponent).join('/')}`, options);
    },
  };
}

/** Undefined if there is no such file. */
function openUrl(url: string, options: HttpSourceOptions): Promise<ByteSource | undefined> {
  return withAnswer(url, options, 0, FIRST_BYTES, async (response, watch) => {
    if (response.status === 206) {
      const range = contentRange(response, url);
      if (range.begin !== 0 || range.end !== Math.min(FIRST_BYTES, range.size))
        throw new WeightsError(
          `${url}: asked for the first ${FIRST_BYTES} bytes, got Content-Range ${range.text}.`,
        );
      return rangeSource(url, options, range.size, await wholeRange(response, url, range.end, watch));
    }
    if (response.status === 200)
      return memorySource(
        await wholeFile(response, url, options.maxWholeBytes ?? MAX_WHOLE_BYTES, watch),
        url,
      );
    if (response.status === 404 || response.status === 410) return undefined;
    // Zero bytes satisfy no range.
    if (response.status === 416 && /^bytes \*\/0$/.test(response.headers.get('content-range') ?? ''))
      return memorySource(new Uint8Array(0), url);
    throw unexpectedStatus(response, url);
  });
}

/** `first` holds the file's beginning. */
function rangeSource(
  url: string,
  options: HttpSourceOptions,
  size: number,
  first: Uint8Array<ArrayBuffer>,
): ByteSource {
  return {
    name: url,
    size,
    async read(offset, length) {
      checkRange(this, offset, length);
      const end = offset + length;
      if (end <= first.length || length === 0) return first.slice(offset, end);
      return withAnswer(url, options, offset, end, async (response, watch) => {
        if (response.status !== 206) throw unexpectedStatus(response, url);
        const range = contentRange(response, url);
        if (range.begin !== offset || range.end !== end || range.size !== size)
          throw new WeightsError(
            `${url}: asked for bytes ${offset} to ${end} of ${size}, got Content-Range ${range.text}. ` +
              'If the file has changed on the server, load it again.',
          );
        return wholeRange(response, url, length, watch);
      });
    },
    async close() {},
  };
}

/** Asks for a range of bytes. What `use` leaves of the answer is not transferred. */
async function withAnswer<T>(
  url: string,
  { silenceMs, maxWholeBytes: _, ...init }: HttpSourceOptions,
  begin: number,
  end: number,
  use: (response: Response, watch: Watch) => Promise<T>,
): Promise<T> {
  const headers = new Headers(init.headers);
  headers.set('range', `bytes=${begin}-${end - 1}`);
  const watch = new Watch(url, silenceMs, init.signal ?? undefined);
  let response: Response | undefined;
  try {
    response = await fetch(url, { ...init, headers, signal: watch.signal }).catch((cause: unknown) => {
      throw new WeightsError(`${url} cannot be reached: ${reason(cause)}`, { cause });
    });
    watch.restart();
    return await use(response, watch);
  } catch (error) {
    init.signal?.throwIfAborted();
    throw error;
  } finally {
    watch.stop();
    await response?.body?.cancel().catch(() => {});
  }
}

/** The header's range with an exclusive end. */
function contentRange(
  response: Response,
  url: string,
): { begin: number; end: number; size: number; text: string } {
  const text = response.headers.get('content-range') ?? '(missing)';
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text);
  if (!match)
    throw new WeightsError(
      `${url}: a partial response needs Content-Range "bytes first-last/size", found ${text}. ` +
        'A server of another origin must list Content-Range in Access-Control-Expose-Headers.',
    );
  return { begin: Number(match[1]), end: Number(match[2]) + 1, size: Number(match[3]), text };
}

/** The body of a response that must have `length` bytes. */
async function wholeRange(
  response: Response,
  url: string,
  length: number,
  watch: Watch,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let received = 0;
  await eachPiece(response, url, watch, (piece) => {
    if (received + piece.length > length)
      throw new WeightsError(`${url}: the server announced ${length} bytes and sends more.`);
    bytes.set(piece, received);
    received += piece.length;
  });
  if (received !== length)
    throw new WeightsError(`${url}: the server announced ${length} bytes and sent ${received}.`);
  return bytes;
}

/** Reads a whole file, but no more than `most` bytes, whatever the server announces. */
async function wholeFile(
  response: Response,
  url: string,
  most: number,
  watch: Watch,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = Number(response.headers.get('content-length') ?? 0);
  const check = (bytes: number) => {
    if (bytes > most)
      throw new WeightsError(
        `${url}: the server ignores range requests, and the file has ${announced || `more than ${most}`} bytes; ` +
          `without ranges at most ${most} can be read. Use a server with range requests, or a local folder.`,
      );
  };
  check(announced);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let received = 0;
  await eachPiece(response, url, watch, (piece) => {
    received += piece.length;
    check(received);
    parts.push(piece);
  });
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function eachPiece(
  response: Response,
  url: string,
  watch: Watch,
  take: (piece: Uint8Array<ArrayBuffer>) => void,
): Promise<void> {
  try {
    for await (const piece of bodyPieces(response, watch)) take(piece);
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
    throw new WeightsError(`${url}: the connection broke: ${reason(cause)}`, { cause });
  }
}

function unexpectedStatus(response: Response, url: string): WeightsError {
  return new WeightsError(
    `${url}: HTTP status ${response.status} ${response.statusText}, expected 206 (partial content).`,
  );
}

/** `fetch` hides the reason in `cause`. */
function reason(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message : String(inner);
}
