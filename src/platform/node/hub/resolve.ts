// From what a user names as --model to a folder that holds one.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../../errors.ts';
import { isModelId, PIPELINE, splitRevision } from '../../../hub/index.ts';
import { didYouMean } from '../near-path.ts';
import { fileSize, ModelCache } from './cache.ts';
import { missingFiles } from './files.ts';

export interface ResolvedModel {
  /** Has the hub's layout: config.json, safetensors, tokenizer … */
  readonly folder: string;
  /** For a model of the cache. */
  readonly id?: string;
  readonly commit?: string;
}

/**
 * Finds a model: a folder's path, or the id of a model in the cache, "owner/name" or "owner/name@revision". Never goes to
 * the network.
 * @param cacheDir default: as huggingface_hub, from HF_HUB_CACHE and HF_HOME
 * @throws NoticeError config: neither folder nor in the cache, or incomplete; the message says what to pull
 */
export async function resolveModel(idOrFolder: string, cacheDir?: string): Promise<ResolvedModel> {
  const info = await stat(idOrFolder).catch(() => undefined);
  if (info?.isDirectory()) {
    const kinds = await Promise.all(
      ['config.json', PIPELINE].map((name) => fileSize(join(idOrFolder, name))),
    );
    if (kinds.every((size) => size === undefined)) {
      throw new NoticeError('config', `The folder ${idOrFolder} has no config.json: it is no model folder.`);
    }
    return { folder: idOrFolder };
  }
  const { id, revision } = splitRevision(idOrFolder);
  if (info || !isModelId(id)) {
    throw new NoticeError(
      'config',
      `"${idOrFolder}" is neither a model folder nor a model id (owner/name).${await didYouMean(idOrFolder)}`,
    );
  }
  const cache = new ModelCache(id, cacheDir);
  const commit = await cache.commitOf(revision);
  const folder = commit && cache.snapshot(commit);
  const missing = folder ? await missingFiles(folder) : undefined;
  const pull = `Run: notice pull ${idOrFolder}`;
  if (!folder || missing?.includes('config.json')) {
    throw new NoticeError(
      'config',
      `"${idOrFolder}" is no folder, and not in the cache ${cache.folder}. ${pull}${await didYouMean(idOrFolder)}`,
    );
  }
  if (missing && missing.length > 0) {
    throw new NoticeError(
      'config',
      `"${idOrFolder}" is incomplete in the cache: no ${missing.join(', ')}. ${pull}`,
    );
  }
  return { folder, id, commit };
}
