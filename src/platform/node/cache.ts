// What can be made again (unpacked drivers, tuning results) lives in one folder of the user, shared by all processes.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { named } from './whole-file.ts';

/** The folder for what can be made again: unpacked drivers, tuning results. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(base, 'notice-webgpu');
}

/**
 * Makes a folder of the cache unless it is there. It is filled beside the target and renamed, so that a folder that
 * exists is complete, also with two processes at it.
 *
 * @param name folder inside {@link cacheFolder}, with the version of what it holds
 * @param proof a file in it without which the folder is not taken for complete
 * @param fill writes the contents into the folder it is given
 * @returns the folder's path
 * @throws NoticeError('file') if it cannot be written; XDG_CACHE_HOME names another place
 */
export async function cachedFolder(
  name: string,
  proof: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const target = join(cacheFolder(), name);
  if (existsSync(join(target, proof))) return target;
  await named(target, async () => {
    mkdirSync(dirname(target), { recursive: true });
    const work = mkdtempSync(`${target}.`);
    try {
      await fill(work);
      renameSync(work, target);
    } catch (error) {
      rmSync(work, { recursive: true, force: true });
      if (!existsSync(join(target, proof))) throw error; // otherwise another process was first
    }
  });
  return target;
}
