// Results folders of shards become one.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { ResultsFolder, type RunRecord } from './results.ts';
import { samplesPerPart } from './run.ts';

const SUBFOLDERS = ['evaluation', 'cells', 'controls', 'attention'];

/**
 * Copies the files of all shards into `out`.
 *
 * @throws NoticeError('usage') if the folders are not of one experiment, ('data') if two hold the same part, or one is missing
 */
export async function mergeResults(
  folders: readonly string[],
  out: string,
): Promise<{ folder: ResultsFolder; record: RunRecord }> {
  const shards = await Promise.all(folders.map((path) => ResultsFolder.existing(path)));
  const [first] = shards;
  if (!first) throw new NoticeError('usage', 'there is nothing to merge');
  for (const { folder, record } of shards) {
    if (record.fingerprint !== first.record.fingerprint)
      throw new NoticeError(
        'usage',
        `${folder.path} and ${first.folder.path} hold experiments with different settings`,
      );
  }
  const samples = first.record.tasks.reduce((sum, { selected }) => sum + selected.length, 0);
  const wanted = Math.ceil(samples / samplesPerPart(first.record.model));
  const parts = await Promise.all(shards.map(({ folder }) => folder.parts()));
  const found = new Set(parts.flat().map((path) => basename(path))).size;
  if (found < wanted)
    throw new NoticeError(
      'data',
      `the folders hold ${found} of the ${wanted} parts of the measurements: is a shard missing, or not done yet?`,
    );
  const seen = new Map<string, string>();
  for (const { folder } of shards) {
    for (const name of SUBFOLDERS) {
      if (!(await folder.has(name))) continue;
      await mkdir(join(out, name), { recursive: true });
      for (const file of (await readdir(folder.file(name))).filter((entry) => !entry.endsWith('.tmp'))) {
        const owner = seen.get(join(name, file));
        if (owner && name === 'cells')
          throw new NoticeError(
            'data',
            `${basename(file)} is in both ${owner} and ${folder.path}: the same shard twice?`,
          );
        seen.set(join(name, file), folder.path);
        await copyFile(folder.file(name, file), join(out, name, file));
      }
    }
  }
  const { folder, record } = await ResultsFolder.open(out, () => first.record);
  record.seconds = shards.reduce((sum, shard) => sum + shard.record.seconds, 0);
  record.finished = new Date().toISOString();
  await folder.saveRecord(record);
  return { folder, record };
}
