// Results folders of shards become one, and shards begin from one.

import { copyFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { fillWhole } from '../../platform/node/whole-file.ts';
import type { KeyedEvaluation } from './answers.ts';
import { changedInputs } from './keys.ts';
import { KINDS, type PartKind, type PartRecord, partsWith, type ShardRecord } from './record.ts';
import { ResultsFolder, type RunRecord } from './results.ts';
import { differentSettings, taskName } from './settings.ts';
import { dealParts, shardName } from './shards.ts';

interface OpenFolder {
  readonly folder: ResultsFolder;
  readonly record: RunRecord;
}

/**
 * Joins the answers of shards of the questions, or the measurements of shards of these, in `out`.
 *
 * @returns `complete`: whether all is measured; else samples are to be chosen in `out`
 * @throws NoticeError('usage') if the folders are not of one experiment and one cut, ('data') naming every shard that is missing
 *   or not done, with its samples, and every file that is damaged or missing; then nothing is written
 */
export async function mergeResults(
  folders: readonly string[],
  out: string,
): Promise<OpenFolder & { readonly complete: boolean }> {
  const shards = await Promise.all(folders.map((path) => ResultsFolder.existing(path)));
  const [first] = shards;
  if (!first) throw new NoticeError('usage', 'there is nothing to merge');
  const { of } = shareOf(first.record);
  for (const shard of shards) checkSame(first, shard);
  const faults = missingShards(shards);
  const answers = new Map<string, KeyedEvaluation[]>();
  for (const task of first.record.settings.data.map(taskName))
    answers.set(task, await answersOf(shards, task, faults));
  const held = of === 'measurements' ? await findParts(shards, faults) : [];
  if (faults.length > 0) throw new NoticeError('data', `cannot be merged: ${faults.join('; ')}`);
  const { folder, record } = await ResultsFolder.open(out, () => structuredClone(first.record));
  for (const [task, rows] of answers) await folder.saveEvaluations(task, rows);
  for (const { kind, part, from } of held)
    if (from.path !== folder.path) await copyPart(kind, part, from, folder);
  delete record.shard;
  delete record.finished;
  record.seconds = shards.reduce((sum, shard) => sum + shard.record.seconds, 0);
  const complete = of === 'measurements';
  if (complete) {
    record.tasks = first.record.tasks;
    record.parts = first.record.parts?.map(({ operations: _, ...part }) => part);
    record.finished = new Date().toISOString();
  }
  await folder.saveRecord(record);
  return { folder, record, complete };
}

/** Whether all folders are there and say that their shard is done: until then they cannot be merged. */
export async function shardsDone(folders: readonly string[]): Promise<boolean> {
  for (const path of folders) {
    if (!(await stat(join(path, 'run.json')).catch(() => undefined))) return false;
    if (!shareOf((await ResultsFolder.existing(path)).record).done) return false;
  }
  return true;
}

/**
 * Gives the folder of a shard the answers and samples of the one where they were joined and chosen.
 *
 * @throws NoticeError('usage') if they are of another experiment, ('unfinished') if samples are not chosen yet
 */
export async function beginFrom(path: string, into: OpenFolder): Promise<void> {
  const from = await chosenIn(path);
  const { settings, tasks, parts } = from.record;
  refuse(from, into, differentSettings(settings, into.record.settings));
  // Another process of the same shard may be at work.
  const copy = async () => {
    for (const task of settings.data.map(taskName))
      await into.folder.saveEvaluations(task, (await from.folder.answers(task))?.rows ?? []);
    const { shard, seconds } = await into.folder.record();
    await into.folder.saveRecord(Object.assign(into.record, { shard, seconds, tasks, parts }));
  };
  await into.folder.claim('record', copy, () => {});
}

/** @throws NoticeError('unfinished') if samples are not chosen in a folder yet */
export async function chosenIn(path: string): Promise<OpenFolder> {
  const there = await stat(join(path, 'run.json')).catch(() => undefined);
  const from = there && (await ResultsFolder.existing(path));
  if (!from?.record.parts)
    throw new NoticeError(
      'unfinished',
      `no samples are chosen in ${path} yet: \`notice run --until select\` chooses them`,
    );
  return from;
}

/** A folder without shards is the only one. */
const shareOf = ({ shard, parts, finished }: RunRecord): ShardRecord =>
  shard ?? {
    index: 1,
    count: 1,
    of: parts ? 'measurements' : 'questions',
    done: finished !== undefined,
  };

/**
 * Which shards are missing or not done, in words.
 *
 * @throws NoticeError('usage') naming folders that are not of one cut
 */
function missingShards(shards: readonly OpenFolder[]): string[] {
  const shares = shards.map(({ record }) => shareOf(record));
  const { count, of } = shares[0] as ShardRecord;
  const named = (i: number) => `${shards[i]?.folder.path} holds ${shardName(shares[i] as ShardRecord)}`;
  const other = shares.findIndex((share) => share.count !== count || share.of !== of);
  if (other >= 0) throw new NoticeError('usage', `cannot be merged: ${named(0)}, but ${named(other)}`);
  const twice = shares.findIndex(({ index }, i) => shares.findIndex((share) => share.index === index) < i);
  if (twice >= 0)
    throw new NoticeError('usage', `cannot be merged: ${named(twice)}, and so does another folder`);
  const faults: string[] = [];
  for (let index = 1; index <= count; index++) {
    const at = shares.findIndex((share) => share.index === index);
    if (at < 0) faults.push(`${shardName({ index, count, of })} is missing`);
    // What measurements lack is named by sample.
    else if (of === 'questions' && !shares[at]?.done) faults.push(`${named(at)}, which is not done`);
  }
  return faults;
}

function checkSame(a: OpenFolder, b: OpenFolder): void {
  const differences = differentSettings(a.record.settings, b.record.settings);
  if (a.record.inputs && b.record.inputs)
    differences.push(...changedInputs(a.record.inputs, b.record.inputs));
  const [one, other] = [a, b].map(({ record }) => record.parts?.map(({ name }) => name).join());
  if (one !== undefined && other !== undefined && one !== other)
    differences.push('their samples, or what these are of');
  refuse(a, b, differences);
}

function refuse(a: OpenFolder, b: OpenFolder, differences: readonly string[]): void {
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

/** Where the files of all parts are: each in the folder of its shard. */
async function findParts(shards: readonly OpenFolder[], faults: string[]): Promise<HeldPart[]> {
  const held: HeldPart[] = [];
  for (const { folder, record } of shards) {
    const { index, count, done } = shareOf(record);
    const own = dealParts(record.parts ?? [], count)[index - 1] as PartRecord[];
    const open = new Set<string>();
    for (const kind of KINDS)
      for (const part of partsWith(kind, own)) {
        const fault = await folder.fault(kind, part);
        if (!fault) held.push({ kind, part, from: folder });
        else if (fault.kind !== 'absent') faults.push(`${fault.file} is ${fault.kind}`);
        else if (done) faults.push(`${fault.file} is missing`);
        else open.add(part);
      }
    const samples = own.filter(({ name }) => open.has(name)).flatMap((part) => part.samples);
    if (samples.length > 0)
      faults.push(
        `${folder.path} is not done: of its ${own.length} parts ${open.size} lack results, samples ${[...new Set(samples)].join(', ')}`,
      );
  }
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
    const done = asked !== undefined || shareOf(record).done;
    if (!found && done) faults.push(`${file} is missing`);
    else if (found && (found.damaged || (done && found.cut) || (asked ?? 0) > found.rows.length))
      faults.push(`${file} is damaged`);
    for (const answer of found?.rows ?? []) if (!all.has(answer.key)) all.set(answer.key, answer);
  }
  return [...all.values()];
}
