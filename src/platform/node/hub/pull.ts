// `notice pull MODEL`: a model from the Hugging Face hub into the shared cache, pinned to a commit, checked by hash.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { NoticeError } from '../../../errors.ts';
import { NetworkError } from '../../../hub/errors.ts';
import { neededFiles } from '../../../hub/files.ts';
import { asNetworkError, type RetryOptions } from '../../../hub/http.ts';
import { fileSize, ModelCache } from './cache.ts';
import { discardPartial, downloadTo } from './download.ts';
import { type ResolvedModel, resolveModel, splitRevision } from './resolve.ts';

export interface HubSettings {
  /** The hub's address. Default HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Access token, for gated and private models. Default HF_TOKEN. */
  readonly token?: string;
  /** Default: as huggingface_hub, from HF_HUB_CACHE and HF_HOME. */
  readonly cacheDir?: string;
  /** Use what the cache has and ask no server. Default HF_HUB_OFFLINE. */
  readonly offline?: boolean;
}

export interface PullOptions extends HubSettings, RetryOptions {
  readonly onProgress?: (progress: PullProgress) => void;
}

export interface PullProgress {
  readonly path: string;
  /** Bytes. */
  readonly received: number;
  readonly total: number;
}

export interface PulledModel extends ResolvedModel {
  readonly id: string;
  readonly commit: string;
  readonly files: readonly { readonly path: string; readonly size: number; readonly downloaded: boolean }[];
}

/**
 * Pulls the safetensors, configs and tokenizer of a model, "owner/name" or "owner/name@revision" (default main), and
 * returns its snapshot folder. What the cache has is not loaded again; what was cut off is gone on with.
 * @throws NoticeError usage: no such model or revision, no access, offline and not in the cache; weights: no
 *   safetensors, or a file that does not match its hash; NetworkError: the hub cannot be reached
 */
export async function pullModel(model: string, options: PullOptions = {}): Promise<PulledModel> {
  const { id, revision } = splitRevision(model);
  const settings = withEnvironment(options);
  const cache = new ModelCache(id, settings.cacheDir);
  if (settings.offline) return await cachedModel(model, options.cacheDir);

  const hub = { hubUrl: settings.endpoint, ...(settings.token && { accessToken: settings.token }) };
  const { commit, entries } = await askHub(model, settings.endpoint, async () => {
    const { sha } = await modelInfo({ name: id, revision, additionalFields: ['sha'], ...hub });
    const files: ListFileEntry[] = [];
    for await (const entry of listFiles({ repo: id, revision: sha, ...hub })) files.push(entry);
    return { commit: sha, entries: files.filter(({ type }) => type === 'file') };
  });
  const { weights, settings: others } = neededFiles(entries.map(({ path }) => path));
  if (weights.length === 0) {
    const found = entries.map(({ path }) => path).join(', ');
    throw new NoticeError('weights', `${model} has no safetensors weights. Its files: ${found}.`);
  }
  const files: { path: string; size: number; downloaded: boolean }[] = [];
  for (const path of [...others, ...weights]) {
    const entry = entries.find((candidate) => candidate.path === path) as ListFileEntry;
    const url = `${settings.endpoint}/${id}/resolve/${commit}/${encodeURIComponent(path)}`;
    const { hash, downloaded } = await pullBlob(cache, url, entry, settings.token, options);
    await cache.link(hash, commit, path);
    files.push({ path, size: entry.size, downloaded });
  }
  // Last, so that a branch never leads to half a model.
  await cache.setCommit(revision, commit);
  return { id, commit, folder: cache.snapshot(commit), files };
}

/** Blobs are named as huggingface_hub names them: by SHA-256 in LFS, else by git's SHA-1. */
async function pullBlob(
  cache: ModelCache,
  url: string,
  entry: ListFileEntry,
  token: string | undefined,
  options: PullOptions,
): Promise<{ hash: string; downloaded: boolean }> {
  const hash = entry.lfs?.oid ?? entry.oid;
  if (!hash) throw new NoticeError('weights', `The hub gives no hash for ${url}: it cannot be checked.`);
  const blob = cache.blob(hash);
  if ((await fileSize(blob)) === entry.size) return { hash, downloaded: false };
  await mkdir(dirname(blob), { recursive: true });
  const partial = `${blob}.incomplete`;
  const { path, size } = entry;
  // A whole one is left where a pull ended between download and check.
  if ((await fileSize(partial)) !== size) {
    await downloadTo(url, partial, {
      ...options,
      ...(token && { headers: { Authorization: `Bearer ${token}` } }),
      maxBytes: size,
      onProgress: (received) => options.onProgress?.({ path, received, total: size }),
    });
  }
  const found = entry.lfs ? await digest('sha256', partial) : await digest('sha1', partial, `blob ${size}\0`);
  if (found !== hash) {
    await discardPartial(partial);
    throw new NoticeError(
      'weights',
      `${url} has the hash ${found}, not ${hash}. It was removed; pull again.`,
    );
  }
  await rename(partial, blob);
  return { hash, downloaded: true };
}

async function digest(algorithm: 'sha1' | 'sha256', file: string, header = ''): Promise<string> {
  const hash = createHash(algorithm).update(header);
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function cachedModel(model: string, cacheDir: string | undefined): Promise<PulledModel> {
  const { id, commit, folder } = await resolveModel(model, cacheDir);
  if (!id || !commit) throw new NoticeError('usage', `"${model}" is a folder; there is nothing to pull.`);
  return { id, commit, folder, files: [] };
}

function withEnvironment(options: HubSettings): HubSettings & { endpoint: string; offline: boolean } {
  const { env } = process;
  const endpoint = (options.endpoint || env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
  const token = options.token ?? env.HF_TOKEN;
  const offline = options.offline ?? /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE ?? '');
  return { ...options, endpoint, token, offline };
}

/** Runs requests of @huggingface/hub and says in the user's words what went wrong. */
async function askHub<T>(model: string, endpoint: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof HubApiError) {
      const { statusCode: status, message } = error;
      if (status === 401 || status === 403) {
        const cure = 'Check the id, accept the terms on its page if it is gated, and set HF_TOKEN';
        throw new NoticeError('usage', `${endpoint} gives no access to ${model}: ${message}. ${cure}.`, {
          cause: error,
        });
      }
      if (status === 404) {
        throw new NoticeError('usage', `${endpoint} has no model or revision ${model}: ${message}`, {
          cause: error,
        });
      }
      throw new NetworkError(error.url, message, { status, temporary: status >= 500 }, { cause: error });
    }
    if (error instanceof TypeError && error.message.includes("'hf_'")) {
      throw new NoticeError('usage', 'HF_TOKEN must begin with "hf_".', { cause: error });
    }
    throw asNetworkError(endpoint, error);
  }
}
