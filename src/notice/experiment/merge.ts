// Results folders of shards become one.

import { copyFile } from 'node:fs/promises';
import { NoticeError } from '../../errors.ts';
import { fillWhole } from '../../platform/node/whole-file.ts';
import type { KeyedEvaluation } from './answers.ts';
import { changedInputs } from './keys.ts';
import { KINDS, type PartKind, partsWith, type Shard } from './record.ts';
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
 * @throws NoticeError('usage') if the folders are not of one experiment, ('data') naming every file that is damaged or missing;
 *   then nothing is written
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
  const tasks = owner.record.settings.data.map(taskName);
  const faults: string[] = [];
  const answers = new Map<string, KeyedEvaluation[]>();
  for (const task of tasks) answers.set(task, await answersOf(shards, task, faults));
  const holders = await findParts(shards, owner.record, faults);
  if (faults.length > 0) throw new NoticeError('data', `cannot be merged: ${faults.join('; ')}`);
  const { folder, record } = await ResultsFolder.open(out, () => structuredClone(owner.record));
  for (const [task, rows] of answers) await folder.saveEvaluations(task, rows);
  for (const { kind, part, from } of holders)
    if (from.path !== folder.path) await copyPart(kind, part, from, folder);
  record.tasks = owner.record.tasks;
  record.parts = owner.record.parts;
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

interface HeldPart {
  readonly kind: PartKind;
  readonly part: string;
  readonly from: ResultsFolder;
}

/** Where the files of all parts are. */
async function findParts(
  shards: readonly OpenFolder[],
  { parts = [] }: RunRecord,
  faults: string[],
): Promise<HeldPart[]> {
  const held: HeldPart[] = [];
  const missing = new Map<string, string[]>();
  for (const kind of KINDS)
    for (const part of partsWith(kind, parts)) {
      const found = await Promise.all(shards.map(({ folder }) => folder.fault(kind, part)));
      const broken = found.flatMap((fault) => (fault && fault.kind !== 'absent' ? [fault] : []));
      faults.push(...broken.map((fault) => `${fault.file} is ${fault.kind}`));
      const at = found.indexOf(undefined);
      if (at >= 0) held.push({ kind, part, from: (shards[at] as OpenFolder).folder });
      else if (broken.length === 0) missing.set(part, [...(missing.get(part) ?? []), found[0]?.file ?? '']);
    }
  if (missing.size > 0)
    faults.push(
      `the folders hold ${parts.length - missing.size} of the ${parts.length} parts of the measurements; ` +
        `${[...missing.values()].flat().join(', ')} are missing: is a shard missing, or not done yet?`,
    );
  return held;
}

/** A file of the same name holds the same, since it has the key of its content. */
async function copyPart(kind: PartKind, part: string, from: ResultsFolder, to: ResultsFolder): Promise<void> {
  const file = to.partFile(kind, part);
  await fillWhole(file, (temporary) => copyFile(from.partFile(kind, part), temporary));
  const sum = to.checksumFile(kind, part);
  await fillWhole(sum, (temporary) => copyFile(from.checksumFile(kind, part), temporary));
  if (!(await to.holds(kind, part))) throw new NoticeError('data', `${file} is not what was copied`);
}

/** Answers of all shards, the first of each key. */
async function answersOf(
  shards: readonly OpenFolder[],
  task: string,
  faults: string[],
): Promise<KeyedEvaluation[]> {
  const all = new Map<string, KeyedEvaluation>();
  for (const { folder, record } of shards) {
    const file = folder.file('evaluation', `${task}.csv`);
    const found = await folder.answers(task);
    const asked = record.tasks.find((known) => known.task === task)?.asked;
    const done = asked !== undefined || record.answered !== undefined;
    if (!found && done) faults.push(`${file} is missing`);
    else if (found && (found.damaged || (done && found.cut) || (asked ?? 0) > found.rows.length))
      faults.push(`${file} is damaged`);
    for (const answer of found?.rows ?? []) if (!all.has(answer.key)) all.set(answer.key, answer);
  }
  return [...all.values()];
}

function sharesOf(shards: readonly OpenFolder[]): Shard[] {
  const all = shards.flatMap(({ record }) => record.answered ?? []);
  const byName = new Map(all.map((share) => [`${share.index}/${share.count}`, share]));
  return [...byName.values()].sort((a, b) => a.count - b.count || a.index - b.index);
}
