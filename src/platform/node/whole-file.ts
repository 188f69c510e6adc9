// Files that are complete or absent, however the writing ends.

import { randomUUID } from 'node:crypto';
import { mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NoticeError } from '../../errors.ts';

/** What a file is made of, whole or piece by piece. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a file, and the folders on the way to it. It appears under its name when it is complete, and then survives a
 * power cut. What is no file, as /dev/stdout or a pipe, is written to as it is.
 *
 * @throws NoticeError('file') naming it if it cannot be written; what stood under the name still does
 */
export async function writeWhole(path: string, content: FileContent): Promise<void> {
  const written = await stat(path).catch(() => undefined);
  if (written && !written.isFile()) await named(path, () => writeFile(path, content));
  else await fillWhole(path, (temporary) => writeFile(temporary, content, { flag: 'wx' }));
}

/**
 * The same for a file that somebody else writes, under the temporary name that `fill` is given: beside the file, and no
 * other process's. Where `fill` fails nothing is left of it.
 *
 * @throws NoticeError('file') as {@link writeWhole} does, for an error of the file system; any other is passed on
 */
export async function fillWhole(
  path: string,
  fill: (temporary: string) => void | Promise<void>,
): Promise<void> {
  const target = await realpath(path).catch(() => path); // a link stays one
  const temporary = `${target}.${randomUUID()}.tmp`;
  await named(path, async () => {
    try {
      await mkdir(dirname(target), { recursive: true });
      await fill(temporary);
      const file = await open(temporary, 'r+');
      await file.sync().finally(() => file.close()); // the name must not outlive the contents in a power cut
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
  });
}

/** Errors of the file system name `path`, which those of a full disk do not. */
export async function named<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new NoticeError('file', `${path} cannot be written: ${cause.message}`, { cause });
  }
}
