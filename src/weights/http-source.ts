// Files on web servers.

import type { HttpOptions } from '../hub/http.ts';
import type { ByteSource } from './byte-source.ts';
import { WeightsError } from './errors.ts';
import { FIRST_BYTES } from './file-pieces.ts';
import type { FileStore, KeptParts } from './file-store.ts';
import { type Address, askFirst } from './http-range.ts';
import { checkFileName, type ModelSource } from './model-source.ts';
import { PieceMemory } from './piece-memory.ts';
import { RemoteFile } from './remote-file.ts';

/** The largest file that memory holds whole, of a server without range requests. */
const MAX_WHOLE_BYTES = 512 * 1024 * 1024;

/** What goes with every request (headers, credentials, abort signal), and how long an answer may be and take. */
export interface HttpSourceOptions
  extends Omit<RequestInit, 'cache' | 'signal'>,
    Pick<HttpOptions, 'attempts' | 'pauseMs' | 'longestPauseMs' | 'silenceMs' | 'fetch'> {
  /** Ends every request; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Keeps what has been read, for the next visit. */
  readonly cache?: FileStore | undefined;
  /** The largest file that memory holds whole if the server ignores ranges and nothing is kept. Default 512 MiB. */
  readonly maxWholeBytes?: number;
}

/** A model folder on a server. */
export interface RemoteFolder extends ModelSource {
  /** The same folder, with what is read of it kept in a store. */
  keptIn(cache: FileStore): RemoteFolder;
}

/** What is known of a file before it is asked for. */
export interface KnownFile {
  readonly size: number;
  readonly tag: string;
}

/**
 * A file at a URL, read piece by piece with range requests. Requests that fail for a passing reason are sent again.
 *
 * @throws WeightsError if the file is missing; NetworkError if the server cannot be reached, refuses, is silent, or sends other
 *   bytes than asked for
 */
export async function httpSource(url: string, options: HttpSourceOptions = {}): Promise<ByteSource> {
  const opened = await openRemote(addressOf(url, options), new PieceMemory(), options);
  if (opened === 'missing') throw new WeightsError(`${url} does not exist (HTTP status 404).`);
  if (opened === 'page')
    throw new WeightsError(`${url} is a page of HTML, which servers send where there is no such file.`);
  return opened.open();
}

/**
 * A model folder on a web server. No byte is asked for twice: what has been read stays in memory (256 MiB at most), and in
 * `cache` if there is one. A server without range requests will do: a file is then taken whole.
 */
export function httpFolder(baseUrl: string, options: HttpSourceOptions = {}): RemoteFolder {
  const base = absolute(baseUrl).replace(/\/+$/, '');
  return remoteFolder(base, options, (file) => {
    return { url: `${base}/${file.split('/').map(encodeURIComponent).join('/')}` };
  });
}

/**
 * A folder whose files lie at addresses of their own.
 *
 * @param name for messages
 * @param find where a file is, and what is known of it; nothing if the folder has none of this name
 * @param address what a store knows it by
 */
export function remoteFolder(
  name: string,
  options: HttpSourceOptions,
  find: (file: string) => { readonly url: string; readonly known?: KnownFile } | undefined,
  address = name,
): RemoteFolder {
  const memory = new PieceMemory();
  const files = new Map<string, Promise<RemoteFile | 'missing' | 'page'>>();
  const openFile = async (path: string): Promise<RemoteFile | 'missing' | 'page'> => {
    const found = find(path);
    if (!found) return 'missing';
    const { url, known } = found;
    return openRemote(addressOf(url, options), memory, options, { folder: address, path }, known);
  };
  return {
    name,
    async open(file) {
      checkFileName(file, name);
      const opening = files.get(file) ?? openFile(file);
      files.set(file, opening);
      opening.catch(() => files.delete(file)); // it may work later
      const opened = await opening;
      return typeof opened === 'string' ? undefined : opened.open();
    },
    async absence(file) {
      const opened = await files.get(file);
      return opened === 'page' ? 'the server answers with a page of HTML in its place' : undefined;
    },
    keptIn: (cache) => remoteFolder(name, { ...options, cache }, find, address),
  };
}

async function openRemote(
  address: Address,
  memory: PieceMemory,
  { cache, maxWholeBytes = MAX_WHOLE_BYTES }: HttpSourceOptions,
  place: { readonly folder: string; readonly path: string } = { folder: address.url, path: '' },
  known?: KnownFile,
): Promise<RemoteFile | 'missing' | 'page'> {
  const keep = async (size: number, tag: string | undefined): Promise<KeptParts | undefined> =>
    tag === undefined ? undefined : cache?.open({ ...place, size, tag }, !known);
  if (known) {
    const kept = await keep(known.size, known.tag);
    return new RemoteFile({ address, size: known.size, memory, kept, maxWholeBytes });
  }
  const opened = await askFirst(address, { bytes: FIRST_BYTES, mostUnknown: maxWholeBytes });
  if (typeof opened === 'string') return opened;
  const { size, etag, tag, first } = opened;
  const kept = await keep(size, tag);
  const file = new RemoteFile({ address, size, memory, kept, maxWholeBytes, etag });
  if (first) await file.takeFirst(first);
  return file;
}

function addressOf(
  url: string,
  {
    attempts,
    pauseMs,
    longestPauseMs,
    silenceMs,
    fetch,
    signal,
    cache,
    maxWholeBytes: _,
    ...init
  }: HttpSourceOptions,
): Address {
  const options = { attempts, pauseMs, longestPauseMs, silenceMs, fetch, signal };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return {
    url: absolute(url),
    // What a store keeps the browser's own cache need not keep, too.
    init: cache ? { ...init, cache: 'no-store' } : init,
    http: Object.fromEntries(given) as HttpOptions,
  };
}

/** In browsers an address may be relative to the page. */
function absolute(url: string): string {
  const base = (globalThis as { location?: { href: string } }).location?.href;
  return base !== undefined && URL.canParse(url, base) ? new URL(url, base).href : url;
}
