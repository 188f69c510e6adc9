// Results folders of shards become one.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import type { KeyedEvaluation } from './answers.ts';
import { changedInputs } from './keys.ts';
import { KINDS, type Shard } from './record.ts';
import { ResultsFolder, type RunRecord } from './results.ts';
import { differentSettings, taskName } from './settings.ts';

interface OpenFolder {
  readonly folder: ResultsFolder;
  readonly record: RunRecord;
}

/**
 * Joins the answers of shards, and their measurements if they have any, in `out`.
 *
 * @returns `complete`: whether all is measured; else the shards can go on in `out`
 * @throws NoticeError('usage') if the folders are not of one experiment, ('data') if a part of the measurements is missing
 */
export async function mergeResults(
  folders: readonly string[],
  out: string,
): Promise<OpenFolder & { readonly complete: boolean }> {
  const shards = await Promise.all(folders.map((path) => ResultsFolder.existing(path)));
  const [first] = shards;
  if (!first) throw new NoticeError('usage', 'there is nothing to merge');
  for (const shard of shards) checkSame(first, shard);
  const complete = shards.some(({ record }) => record.parts !== undefined);
  const owner = shards.find(({ record }) => record.parts !== undefined) ?? first;
  if (complete) await checkParts(shards, owner.record);
  const { folder, record } = await ResultsFolder.open(out, () => structuredClone(owner.record));
  for (const file of owner.record.settings.data)
    await folder.saveEvaluations(taskName(file), await answersOf(shards, taskName(file)));
  for (const kind of KINDS) await copyAll(shards, kind, out);
  record.tasks = owner.record.tasks;
  record.seconds = shards.reduce((sum, shard) => sum + shard.record.seconds, 0);
  if (complete) {
    record.finished = new Date().toISOString();
    delete record.answered;
  } else record.answered = sharesOf(shards);
  await folder.saveRecord(record);
  return { folder, record, complete };
}

function checkSame(a: OpenFolder, b: OpenFolder): void {
  const differences = differentSettings(a.record.settings, b.record.settings);
  if (a.record.inputs && b.record.inputs)
    differences.push(...changedInputs(a.record.inputs, b.record.inputs));
  if (differences.length > 0)
    throw new NoticeError(
      'usage',
      `${a.folder.path} and ${b.folder.path} hold experiments that differ in ${differences.join('; ')}`,
    );
}

/** All measurements of the run, and none of another selection. */
async function checkParts(shards: readonly OpenFolder[], { parts = [] }: RunRecord): Promise<void> {
  const found = new Set((await Promise.all(shards.map(({ folder }) => folder.parts('cells')))).flat());
  const missing = parts.filter(({ name }) => !found.has(name));
  if (missing.length === 0) return;
  const samples = missing.slice(0, 3).flatMap((part) => part.samples);
  throw new NoticeError(
    'data',
    `the folders hold ${parts.length - missing.length} of the ${parts.length} parts of the measurements; those of ` +
      `${samples.slice(0, 3).join(', ')}${samples.length > 3 || missing.length > 3 ? ' and others' : ''} are missing: is a shard missing, or not done yet?`,
  );
}

/** Answers of all shards, the first of each key. */
async function answersOf(shards: readonly OpenFolder[], task: string): Promise<KeyedEvaluation[]> {
  const lists = await Promise.all(shards.map(({ folder }) => folder.evaluations(task)));
  return [...new Map(lists.flat().map((answer) => [answer.key, answer])).values()];
}

function sharesOf(shards: readonly OpenFolder[]): Shard[] {
  const all = shards.flatMap(({ record }) => record.answered ?? []);
  const byName = new Map(all.map((share) => [`${share.index}/${share.count}`, share]));
  return [...byName.values()].sort((a, b) => a.count - b.count || a.index - b.index);
}

/** Files of the same name hold the same, since it has the key of their content. */
async function copyAll(shards: readonly OpenFolder[], kind: string, out: string): Promise<void> {
  for (const { folder } of shards) {
    if (folder.path === out || !(await folder.has(kind))) continue;
    await mkdir(join(out, kind), { recursive: true });
    for (const file of await readdir(folder.file(kind)))
      if (!file.endsWith('.tmp')) await copyFile(folder.file(kind, file), join(out, kind, file));
  }
}
