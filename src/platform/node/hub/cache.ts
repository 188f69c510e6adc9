// The cache that Python's huggingface_hub shares: models--{owner}--{name}/ with
//   refs/{branch}                 the commit a branch or tag stood for when it was pulled
//   blobs/{sha256 | git sha-1}    file contents, once each
//   snapshots/{commit}/{path}     relative links to blobs; a snapshot is a model folder

import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { getHFHubCachePath, getRepoFolderName } from '@huggingface/hub';
import { NoticeError } from '../../../errors.ts';

export const COMMIT = /^[0-9a-f]{40}$/;
/** `owner/name`, or `name` for the oldest models. */
const MODEL_ID = /^(?!.*(\.\.|--))(?:[A-Za-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*$/;

/** Whether a text can be the id of a model on the hub. */
export function isModelId(text: string): boolean {
  return MODEL_ID.test(text);
}

/** One model's folder of the cache. */
export class ModelCache {
  readonly folder: string;

  /**
   * @param root default: HF_HUB_CACHE, or the place under HF_HOME that huggingface_hub uses
   * @throws NoticeError usage: no model id
   */
  constructor(id: string, root: string = getHFHubCachePath()) {
    if (!isModelId(id)) throw new NoticeError('usage', `"${id}" is no model id; expected owner/name.`);
    this.folder = join(root, getRepoFolderName({ name: id, type: 'model' }));
  }

  /** The commit a revision stands for here: itself, or what its last complete pull found. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const commit = await readFile(this.#ref(revision), 'utf8').catch(() => undefined);
    return commit?.trim();
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const file = this.#ref(revision);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, commit);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  blob(hash: string): string {
    return join(this.folder, 'blobs', hash);
  }

  /** Makes a blob appear in a snapshot, as a copy where links cannot be made. */
  async link(hash: string, commit: string, path: string): Promise<void> {
    const file = join(this.snapshot(commit), path);
    await mkdir(dirname(file), { recursive: true });
    // Made beside and renamed, so that the name always leads to a whole file.
    const made = `${file}.${process.pid}.tmp`;
    await rm(made, { force: true });
    try {
      await symlink(relative(dirname(file), this.blob(hash)), made);
    } catch {
      await copyFile(this.blob(hash), made);
    }
    await rename(made, file);
  }

  #ref(revision: string): string {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(revision) || revision.includes('..')) {
      throw new NoticeError('usage', `"${revision}" is no revision; expected a branch, a tag or a commit.`);
    }
    return join(this.folder, 'refs', revision);
  }
}

/** Size in bytes of a file, following links; nothing if there is none. */
export async function fileSize(file: string): Promise<number | undefined> {
  const info = await stat(file).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}
