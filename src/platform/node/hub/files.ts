// Whether a folder has the files of a model.

import { readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { INDEX, PIPELINE, pipelineFiles, SINGLE } from '../../../hub/index.ts';
import { shardNames } from '../../../weights/checkpoint.ts';
import { nodeFolder } from '../files.ts';
import { fileSize } from './cache.ts';

/**
 * What a folder lacks to be a whole model: its config, or weight files.
 * @throws WeightsError, ModelFileError: an index that is damaged
 */
export async function missingFiles(folder: string): Promise<string[]> {
  const lacks = async (name: string) => (await fileSize(join(folder, name))) === undefined;
  if (!(await lacks(PIPELINE))) {
    const files = await readdir(folder, { recursive: true });
    return (
      pipelineFiles(files.map((path) => path.split(sep).join('/')))?.lacking.map(
        (part) => `weights in ${part}`,
      ) ?? []
    );
  }
  const missing = (await lacks('config.json')) ? ['config.json'] : [];
  if (!(await lacks(SINGLE))) return missing;
  if (await lacks(INDEX)) return [...missing, SINGLE];
  for (const name of await shardNames(nodeFolder(folder))) if (await lacks(name)) missing.push(name);
  return missing;
}
