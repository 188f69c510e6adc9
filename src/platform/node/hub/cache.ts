// The cache that Python's huggingface_hub shares: models--{owner}--{name}/ with
//   refs/{branch}                 the commit a branch or tag stood for when it was pulled
//   blobs/{sha256 | git sha-1}    file contents, once each
//   snapshots/{commit}/{path}     relative links to blobs; a snapshot is a model folder

import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { getRepoFolderName } from '@huggingface/hub';
import { NoticeError } from '../../../errors.ts';
import { COMMIT, checkRevision, isModelId } from '../../../hub/index.ts';
import { named, writeWhole } from '../whole-file.ts';
import { hubCacheFolder } from './environment.ts';

/** One model's folder of the cache. */
export class ModelCache {
  readonly folder: string;
  /** Stands for the right to write to the folder. */
  readonly claim: string;

  /**
   * @param root default: as huggingface_hub, from HF_HUB_CACHE and HF_HOME
   * @throws NoticeError usage: no model id
   */
  constructor(id: string, root: string = hubCacheFolder()) {
    if (!isModelId(id)) throw new NoticeError('usage', `"${id}" is no model id; expected owner/name.`);
    const name = getRepoFolderName({ name: id, type: 'model' });
    this.folder = join(root, name);
    this.claim = join(root, '.locks', name, 'notice.claim');
  }

  /** The commit a revision stands for here: itself, or what its last complete pull found. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const commit = (await readFile(this.#ref(revision), 'utf8').catch(() => ''))?.trim();
    return COMMIT.test(commit) ? commit : undefined;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    await writeWhole(this.#ref(revision), commit);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  blob(hash: string): string {
    return join(this.folder, 'blobs', hash);
  }

  /** Where a blob is loaded to. Python's names are others: two programs that write one file would spoil it. */
  partial(hash: string): string {
    return `${this.blob(hash)}.notice.incomplete`;
  }

  /** Makes a blob appear in a snapshot, as a copy where links cannot be made. */
  async link(hash: string, commit: string, path: string): Promise<void> {
    const file = join(this.snapshot(commit), path);
    // Made beside and renamed, so that the name always leads to a whole file, whoever else makes it.
    const made = `${file}.${randomUUID()}.tmp`;
    await named(file, async () => {
      try {
        await mkdir(dirname(file), { recursive: true });
        await symlink(relative(dirname(file), this.blob(hash)), made).catch(() =>
          copyFile(this.blob(hash), made),
        );
        await rename(made, file);
      } catch (error) {
        await rm(made, { force: true }).catch(() => {});
        throw error;
      }
    });
  }

  #ref(revision: string): string {
    checkRevision(revision);
    return join(this.folder, 'refs', revision);
  }
}

/** Size in bytes of a file, following links; nothing if there is none. */
export async function fileSize(file: string): Promise<number | undefined> {
  const info = await stat(file).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}
