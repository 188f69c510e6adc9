// Files on a web server, read piece by piece with HTTP range requests (RFC 9110, section 14).

import { type ByteSource, checkRange, memorySource } from './byte-source.ts';
import { WeightsError } from './errors.ts';
import { checkFileName, type ModelSource } from './model-source.ts';

/** The first request asks for this many bytes: most small files come whole, most safetensors headers too. */
const FIRST_BYTES = 64 * 1024;
/** The largest file that is read whole from a server without range requests. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;

/**
 * A file at a URL. `init` goes with every request (headers, credentials, abort signal). If the server ignores
 * ranges, a file of up to 64 MiB is read whole, once.
 *
 * @throws WeightsError if the file is missing, the server refuses, or it ignores ranges and the file is larger
 */
export async function httpSource(url: string, init?: RequestInit): Promise<ByteSource> {
  const source = await openUrl(url, init);
  if (!source) throw new WeightsError(`${url} does not exist (HTTP status 404).`);
  return source;
}

/**
 * A model folder on a web server; `https://huggingface.co/{repository}/resolve/{revision}` is one.
 * `init` goes with every request.
 */
export function httpFolder(baseUrl: string, init?: RequestInit): ModelSource {
  const base = baseUrl.replace(/\/+$/, '');
  return {
    name: base,
    async open(file) {
      checkFileName(file, base);
      return openUrl(`${base}/${file.split('/').map(encodeURIComponent).join('/')}`, init);
    },
  };
}

/** Undefined if there is no such file. */
async function openUrl(url: string, init: RequestInit | undefined): Promise<ByteSource | undefined> {
  const response = await request(url, init, 0, FIRST_BYTES);
  if (response.status === 206) {
    const range = contentRange(response, url);
    if (range.begin !== 0 || range.end !== Math.min(FIRST_BYTES, range.size))
      throw new WeightsError(
        `${url}: asked for the first ${FIRST_BYTES} bytes, got Content-Range ${range.text}.`,
      );
    return rangeSource(url, init, range.size, await body(response, url, range.end));
  }
  if (response.status === 200) return memorySource(await wholeBody(response, url), url);
  await response.body?.cancel();
  if (response.status === 404 || response.status === 410) return undefined;
  // Zero bytes satisfy no range.
  if (response.status === 416 && /^bytes \*\/0$/.test(response.headers.get('content-range') ?? ''))
    return memorySource(new Uint8Array(0), url);
  throw unexpectedStatus(response, url);
}

/** `first` holds the file's beginning. */
function rangeSource(
  url: string,
  init: RequestInit | undefined,
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
      const response = await request(url, init, offset, end);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw unexpectedStatus(response, url);
      }
      const range = contentRange(response, url);
      if (range.begin !== offset || range.end !== end || range.size !== size) {
        await response.body?.cancel();
        throw new WeightsError(
          `${url}: asked for bytes ${offset} to ${end} of ${size}, got Content-Range ${range.text}. ` +
            'If the file has changed on the server, load it again.',
        );
      }
      return body(response, url, length);
    },
    async close() {},
  };
}

async function request(
  url: string,
  init: RequestInit | undefined,
  begin: number,
  end: number,
): Promise<Response> {
  const headers = new Headers(init?.headers);
  headers.set('range', `bytes=${begin}-${end - 1}`);
  try {
    return await fetch(url, { ...init, headers });
  } catch (cause) {
    throw new WeightsError(`${url} cannot be reached: ${reason(cause)}`, { cause });
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
async function body(response: Response, url: string, length: number): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw new WeightsError(`${url}: the connection broke: ${reason(cause)}`, { cause });
  }
  if (bytes.length !== length)
    throw new WeightsError(`${url}: the server announced ${length} bytes and sent ${bytes.length}.`);
  return bytes;
}

/** Reads a whole file, but no more than MAX_WHOLE_BYTES, whatever the server announces. */
async function wholeBody(response: Response, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const announced = Number(response.headers.get('content-length') ?? 0);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let total = 0;
  const reader = response.body?.getReader();
  try {
    while (reader && announced <= MAX_WHOLE_BYTES && total <= MAX_WHOLE_BYTES) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
      parts.push(value);
      total += value.length;
    }
    await reader?.cancel();
  } catch (cause) {
    throw new WeightsError(`${url}: the connection broke: ${reason(cause)}`, { cause });
  }
  throw new WeightsError(
    `${url}: the server ignores range requests, and the file has ${announced || `more than ${MAX_WHOLE_BYTES}`} bytes; ` +
      `without ranges at most ${MAX_WHOLE_BYTES} can be read. Use a server with range requests, or a local folder.`,
  );
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
