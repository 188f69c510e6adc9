// Whether a folder has the files of a model.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { INDEX, SINGLE } from '../../../hub/files.ts';
import { fileSize } from './cache.ts';

/** What a folder lacks to be a whole model: its config, or weight files. */
export async function missingFiles(folder: string): Promise<string[]> {
  const has = async (name: string) => (await fileSize(join(folder, name))) !== undefined;
  const missing = (await has('config.json')) ? [] : ['config.json'];
  if (await has(SINGLE)) return missing;
  for (const name of (await shardNames(folder)) ?? [SINGLE]) if (!(await has(name))) missing.push(name);
  return missing;
}

/** The shards that a folder's index names; a damaged index is missing itself. */
async function shardNames(folder: string): Promise<string[] | undefined> {
  const text = await readFile(join(folder, INDEX), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { weight_map } = JSON.parse(text) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(weight_map))].sort();
  } catch {
    return [`sound ${INDEX}`];
  }
}
