// `notice pull MODEL`: a model from the Hugging Face hub into the shared cache, pinned to a commit, checked by hash.

import { mkdir, rename, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NoticeError } from '../../../errors.ts';
import {
  authorization,
  checkRevision,
  explainRefusal,
  fileAddress,
  type HttpOptions,
  neededFiles,
  noWeights,
  pipelineFiles,
  type Repository,
  type RepositoryFile,
  readRepository,
  SINGLE,
  splitRevision,
} from '../../../hub/index.ts';
import { shardNames } from '../../../weights/checkpoint.ts';
import { withClaim } from '../claim.ts';
import { hashFile } from '../digests.ts';
import { nodeFetch } from '../fetch.ts';
import { nodeFolder } from '../files.ts';
import { named } from '../whole-file.ts';
import { fileSize, ModelCache } from './cache.ts';
import { discardPartial, downloadTo } from './download.ts';
import { hubEndpoint, hubOffline, hubSilenceMs, hubToken } from './environment.ts';
import { type ResolvedModel, resolveModel } from './resolve.ts';

export interface HubSettings {
  /** The hub's address. Default HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Access token, for gated and private models. Default HF_TOKEN, else what `hf auth login` keeps. */
  readonly token?: string;
  /** Default: as huggingface_hub, from HF_HUB_CACHE and HF_HOME. */
  readonly cacheDir?: string;
  /** Use what the cache has and ask no server. Default HF_HUB_OFFLINE. */
  readonly offline?: boolean;
}

export interface PullOptions extends HubSettings, Omit<HttpOptions, 'maxBytes'> {
  /** A larger model is refused. Default 1 TiB. */
  readonly maxModelBytes?: number;
  /** A larger config, tokenizer or index is refused. Default 256 MiB. */
  readonly maxSettingsBytes?: number;
  /** A longer answer about the model's files is refused. Default 32 MiB. */
  readonly maxAnswerBytes?: number;
  /** Pages of the list of files. Default 1000. */
  readonly maxPages?: number;
  /** Of a pipeline with several files of weights which one: `fp16`. Default those without a variant. */
  readonly variant?: string;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Called if another process pulls the same model: this one waits. */
  readonly onWait?: (owner: string) => void;
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
  readonly files: readonly PulledFile[];
}

interface PulledFile {
  readonly path: string;
  readonly size: number;
  readonly downloaded: boolean;
}

/**
 * Pulls the safetensors, configs and tokenizer of a model, "owner/name" or "owner/name@revision" (default main), and
 * returns its snapshot folder. What the cache has is not loaded again; what was cut off is gone on with.
 * @throws NoticeError usage: no such model or revision, no access, no room, offline and not in the cache; weights: no
 *   safetensors, or a file that does not match its hash; file: the cache cannot be written; NetworkError: the hub cannot be reached, or is none
 */
export async function pullModel(model: string, options: PullOptions = {}): Promise<PulledModel> {
  const { id, revision } = splitRevision(model);
  const cache = new ModelCache(id, options.cacheDir);
  checkRevision(revision);
  if (options.offline ?? hubOffline()) return await cachedModel(model, options.cacheDir);

  const endpoint = hubEndpoint(options.endpoint);
  const token = await hubToken(options.token);
  const silenceMs = options.silenceMs ?? hubSilenceMs();
  const http = { fetch: nodeFetch, ...options, ...(silenceMs && { silenceMs }) };
  return await explainRefusal(model, endpoint, async () => {
    const maxBytes = options.maxAnswerBytes;
    const hub = { ...http, ...(maxBytes !== undefined && { maxBytes }), endpoint, token };
    const repository = await readRepository(id, revision, hub);
    const job = { model, id, repository, cache, endpoint, token, options: http };
    const files = await withClaim(cache.claim, () => pullFiles(job), options);
    // Last, so that a branch never leads to half a model.
    await cache.setCommit(revision, repository.commit);
    return { id, commit: repository.commit, folder: cache.snapshot(repository.commit), files };
  });
}

/** A pull of one commit. */
interface Job {
  readonly model: string;
  readonly id: string;
  readonly repository: Repository;
  readonly cache: ModelCache;
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly options: PullOptions;
}

async function pullFiles(job: Job): Promise<PulledFile[]> {
  const { model, repository, cache } = job;
  const { maxSettingsBytes = 256 * 1024 ** 2, maxModelBytes = 1024 ** 4, variant } = job.options;
  const pipeline = pipelineFiles(repository.files.keys(), variant);
  if (pipeline) {
    if (pipeline.lacking.length > 0)
      throw new NoticeError(
        'weights',
        `${model} has no safetensors weights${variant ? ` of the variant ${variant}` : ''} in ${pipeline.lacking.join(', ')}.`,
      );
    return [
      ...(await pullAll(job, pipeline.settings, maxSettingsBytes)),
      ...(await pullAll(job, pipeline.weights, maxModelBytes)),
    ];
  }
  const { settings, weights } = neededFiles(repository.files.keys());
  if (!weights) throw noWeights(model, [...repository.files.keys()]);
  if (weights === SINGLE)
    return [
      ...(await pullAll(job, settings, maxSettingsBytes)),
      ...(await pullAll(job, [weights], maxModelBytes)),
    ];
  const small = await pullAll(job, [...settings, weights], maxSettingsBytes);
  // The files that the index names, by the rule of those who read the weights.
  const shards = await shardNames(nodeFolder(cache.snapshot(repository.commit)));
  return [...small, ...(await pullAll(job, shards, maxModelBytes))];
}

/** @param most bytes of all these files together */
async function pullAll(job: Job, paths: readonly string[], most: number): Promise<PulledFile[]> {
  const { model, repository, cache } = job;
  const files = paths.map((path) => {
    const file = repository.files.get(path);
    if (!file) throw new NoticeError('weights', `${model} has no file ${path}, which its index names.`);
    return file;
  });
  const total = files.reduce((sum, { size }) => sum + size, 0);
  if (total > most)
    throw new NoticeError('weights', `${model}: ${paths.join(', ')} have ${total} bytes, at most ${most}.`);
  await checkRoom(job, files);
  const pulled: PulledFile[] = [];
  for (const file of files) {
    const downloaded = await pullBlob(job, file);
    await cache.link(file.hash, repository.commit, file.path);
    pulled.push({ path: file.path, size: file.size, downloaded });
  }
  return pulled;
}

async function checkRoom({ model, cache }: Job, files: readonly RepositoryFile[]): Promise<void> {
  let missing = 0;
  for (const { hash, size } of files)
    if ((await fileSize(cache.blob(hash))) !== size)
      missing += Math.max(0, size - ((await fileSize(cache.partial(hash))) ?? 0));
  const { bavail, bsize } = await named(cache.folder, async () => {
    await mkdir(dirname(cache.blob('x')), { recursive: true });
    return statfs(cache.folder);
  });
  const free = bavail * bsize;
  // Some file systems do not know, and say 0.
  if (free > 0 && missing > free)
    throw new NoticeError(
      'usage',
      `${model} needs ${missing} bytes more, and ${cache.folder} has room for ${free}. HF_HUB_CACHE names another folder.`,
    );
}

/**
 * Loads a file unless it is there. Blobs are named as huggingface_hub names them, by their hashes.
 * @returns whether it was loaded
 */
async function pullBlob(job: Job, { path, size, hash, inLfs }: RepositoryFile): Promise<boolean> {
  const { id, repository, cache, endpoint, token, options } = job;
  const blob = cache.blob(hash);
  if ((await fileSize(blob)) === size) return false;
  const partial = cache.partial(hash);
  const url = fileAddress(endpoint, id, repository.commit, path);
  // A whole one is left where a pull ended between download and check.
  if ((await fileSize(partial)) !== size)
    await downloadTo(url, partial, {
      ...options,
      headers: authorization(token),
      size,
      onProgress: (received) => options.onProgress?.({ path, received, total: size }),
    });
  const found = await hashFile(
    partial,
    hash.length === 40 ? 'sha1' : 'sha256',
    inLfs ? '' : `blob ${size}\0`,
  );
  if (found !== hash) {
    await discardPartial(partial);
    throw new NoticeError(
      'weights',
      `${url} has the hash ${found}, not ${hash}. It was removed; pull again.`,
    );
  }
  await named(blob, () => rename(partial, blob));
  return true;
}

async function cachedModel(model: string, cacheDir: string | undefined): Promise<PulledModel> {
  const { id, commit, folder } = await resolveModel(model, cacheDir);
  if (!id || !commit) throw new NoticeError('usage', `"${model}" is a folder; there is nothing to pull.`);
  return { id, commit, folder, files: [] };
}
