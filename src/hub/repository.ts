// A model repository as the Hugging Face hub's API describes it. Nothing of the answers is believed that has not the form it
// must have: hashes and paths become names of files.

import { NoticeError } from '../errors.ts';
import { NetworkError, oneLine } from './errors.ts';
import { fetchAnswer, type HttpOptions, withoutSecret } from './http.ts';

export const COMMIT = /^[0-9a-f]{40}$/;
/** `owner/name`, or `name` for the oldest models. */
const MODEL_ID = /^(?!.*(\.\.|--))(?:[A-Za-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*$/;
/** A branch, tag or commit; `refs/pr/1` is one, too. */
const REVISION = /^(?!.*\.\.)\w[\w.-]*(\/\w[\w.-]*)*$/;

/** Whether a text can be the id of a model on the hub. */
export function isModelId(text: string): boolean {
  return MODEL_ID.test(text);
}

/** "owner/name@revision" in two; the revision is "main" if it is left out. */
export function splitRevision(text: string): { id: string; revision: string } {
  const at = text.indexOf('@');
  return at < 0 ? { id: text, revision: 'main' } : { id: text.slice(0, at), revision: text.slice(at + 1) };
}

/** @throws NoticeError usage: no branch, tag or commit is named so */
export function checkRevision(revision: string): void {
  if (!REVISION.test(revision))
    throw new NoticeError('usage', `"${revision}" is no revision; expected a branch, a tag or a commit.`);
}

export interface HubOptions extends HttpOptions {
  /** The hub's address. */
  readonly endpoint: string;
  /** Access token; goes to the endpoint's origin (scheme, host and port) and nowhere else. */
  readonly token?: string | undefined;
  /** Pages of a list of files. Default 1000, which is a million files. */
  readonly maxPages?: number;
}

export interface Repository {
  readonly commit: string;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

export interface RepositoryFile {
  /** Path in the repository, with "/" between names; no part of it is "." or "..". */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** In hexadecimal digits: the SHA-256 of a file in LFS; of any other git's, SHA-1 (40 digits) or SHA-256 (64). */
  readonly hash: string;
  readonly inLfs: boolean;
}

/**
 * The commit a revision stands for, and its files.
 * @throws NoticeError usage: no such model or revision, no access; NetworkError: the hub cannot be reached, or answers
 *   something else than a hub does
 */
export async function readRepository(id: string, revision: string, hub: HubOptions): Promise<Repository> {
  // Only who asks the hub pays for its client.
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const { endpoint: hubUrl } = hub;
  const asked = `${hubUrl}/api/models/${id}`;
  const fetchModel = hubFetch(hub, 'an object');
  const model = await modelInfo({ name: id, revision, additionalFields: ['sha'], hubUrl, fetch: fetchModel });
  const sha: unknown = model.sha;
  if (typeof sha !== 'string' || !COMMIT.test(sha))
    throw wrong(asked, `its commit is ${quoted(sha)}, expected 40 hexadecimal digits`);
  if (COMMIT.test(revision) && sha !== revision)
    throw wrong(asked, `answers with the commit ${sha}; asked was ${revision}`);
  const files = new Map<string, RepositoryFile>();
  const repo = { type: 'model', name: id } as const;
  const fetch = hubFetch(hub, 'a list');
  for await (const entry of listFiles({ repo, revision: sha, recursive: true, hubUrl, fetch })) {
    const file = checkEntry(entry, asked);
    if (file && files.has(file.path)) throw wrong(asked, `lists ${quoted(file.path)} twice`);
    if (file) files.set(file.path, file);
  }
  return { commit: sha, files };
}

/** Where a file of a commit is had. */
export function fileAddress(endpoint: string, id: string, commit: string, path: string): string {
  return `${endpoint}/${id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Says what a refusal means for a model. */
export async function explainRefusal<T>(model: string, endpoint: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (!(cause instanceof NetworkError)) throw cause;
    const { status, message } = cause;
    if (status === 401 || status === 403) {
      const cure =
        'Check the id, accept the terms on its page if it is gated, and set HF_TOKEN or give a token';
      throw new NoticeError('usage', `${endpoint} gives no access to ${model}: ${message}. ${cure}.`, {
        cause,
      });
    }
    if (status === 404)
      throw new NoticeError('usage', `${endpoint} has no model or revision ${model}: ${message}`, { cause });
    throw cause;
  }
}

/** Headers of a request to the hub that say who asks. */
export function authorization(token: string | undefined): { Authorization?: string } {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** `fetch` for the hub's client: with limits, JSON only, the token at its own origin only and never in an answer. */
function hubFetch(
  { endpoint, token, maxPages = 1000, ...http }: HubOptions,
  expected: 'an object' | 'a list',
): typeof fetch {
  const { origin } = new URL(endpoint);
  const who = authorization(token);
  const seen = new Set<string>();
  return async (input) => {
    const url = String(input);
    if (seen.has(url) || seen.size > maxPages)
      throw wrong(endpoint, `its list of files does not end after ${seen.size} pages`);
    seen.add(url);
    const atHome = URL.canParse(url) && new URL(url).origin === origin;
    const answer = await fetchAnswer(url, { headers: atHome ? who : {} }, http);
    const text = withoutSecret(answer.text, who.Authorization);
    const value = parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value) !== (expected === 'a list'))
      throw wrong(url, `expected ${expected} in JSON, found ${quoted(text)}`);
    return new Response(text, { headers: answer.headers });
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of an entry that is a file, what a pull needs. */
function checkEntry(entry: unknown, url: string): RepositoryFile | undefined {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (type !== 'file') return undefined;
  if (typeof path !== 'string' || !isPath(path)) throw wrong(url, `lists the path ${quoted(path)}`);
  const large = lfs as { oid?: unknown; size?: unknown } | null | undefined;
  const hash = large ? large.oid : oid;
  const bytes = large?.size ?? size;
  if (typeof hash !== 'string' || !(large ? /^[0-9a-f]{64}$/ : /^([0-9a-f]{40}|[0-9a-f]{64})$/).test(hash))
    throw wrong(url, `gives ${path} the hash ${quoted(hash)}: it cannot be checked`);
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0)
    throw wrong(url, `gives ${path} the size ${quoted(bytes)}`);
  return { path, size: bytes as number, hash, inLfs: Boolean(large) };
}

/** A path that stays in its folder on every system. */
function isPath(path: string): boolean {
  return path.length <= 1000 && path.split('/').every((part) => /^(?!\.\.?$)[^\\:\p{C}]+$/u.test(part));
}

function wrong(url: string, what: string): NetworkError {
  return new NetworkError(url, what, { temporary: false });
}

const quoted = (value: unknown): string => oneLine(JSON.stringify(value)?.slice(0, 100) ?? 'none');
