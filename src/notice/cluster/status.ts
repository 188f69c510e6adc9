// How far an experiment is: by its folders, which say what is done, and by the scheduler, which says what is at work.

import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NoticeError } from '../../errors.ts';
import { KINDS, type PartRecord, partsWith } from '../experiment/record.ts';
import { ResultsFolder, type RunRecord } from '../experiment/results.ts';
import { dealParts } from '../experiment/shards.ts';
import { JOBS_FILE, type SubmittedStep } from './slurm.ts';
import { shardFolders, workFolder } from './steps.ts';

/** A share of the measurements. */
export interface ShardStatus {
  readonly done: number;
  readonly total: number;
  /** At the pace of its parts until now; undefined before the second. */
  readonly secondsLeft: number | undefined;
  /** Samples of the parts that are not done. */
  readonly missing: readonly string[];
}

export interface ExperimentStatus {
  /** Shards of the questions, and how many are answered. */
  readonly answered: { readonly done: number; readonly total: number };
  /** Those of the measurements; none until samples are chosen. */
  readonly shards: readonly ShardStatus[];
  /** When all was done. */
  readonly finished: string | undefined;
  /** What the scheduler says of each step: states with their counts, empty if it has forgotten the job. */
  readonly steps: readonly (SubmittedStep & { readonly states: ReadonlyMap<string, number> })[];
}

/**
 * @param out the results folder of an experiment that was submitted to Slurm
 * @throws NoticeError('usage') if none was
 */
export async function statusOf(out: string): Promise<ExperimentStatus> {
  const file = join(workFolder(out), JOBS_FILE);
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new NoticeError('usage', `${out} is of no experiment that was submitted: ${cause.message}`, {
      cause,
    });
  });
  const submitted = JSON.parse(text) as SubmittedStep[];
  const states = await jobStates(submitted.map(({ job }) => job));
  const steps = submitted.map((step) => ({ ...step, states: states.get(step.job) ?? new Map() }));
  const tasks = submitted.find(({ step }) => step === 'evaluate')?.tasks ?? 1;
  const answers = await Promise.all(shardFolders({ out, tasks }, 'evaluate').map(open));
  const { record } = (await open(out)) ?? {};
  const shards: ShardStatus[] = [];
  if (record?.parts)
    for (const [i, path] of shardFolders({ out, tasks }, 'measure').entries())
      shards.push(await shardStatus(await open(path), dealParts(record.parts, tasks)[i] as PartRecord[]));
  return {
    answered: { done: answers.filter((found) => found?.record.shard?.done).length, total: tasks },
    // What is merged has no costs any more by which parts were dealt.
    shards: record?.finished ? [] : shards,
    finished: record?.finished,
    steps,
  };
}

/** Undefined for a folder that has not been begun. */
async function open(path: string): Promise<{ folder: ResultsFolder; record: RunRecord } | undefined> {
  return (await stat(join(path, 'run.json')).catch(() => undefined)) && ResultsFolder.existing(path);
}

async function shardStatus(
  found: { readonly folder: ResultsFolder } | undefined,
  parts: readonly PartRecord[],
): Promise<ShardStatus> {
  const open = new Set<string>();
  for (const kind of KINDS)
    for (const part of partsWith(kind, parts)) if (!(await found?.folder.holds(kind, part))) open.add(part);
  const times: number[] = [];
  for (const { name } of parts)
    if (found && !open.has(name)) times.push((await stat(found.folder.partFile('cells', name))).mtimeMs);
  const pace = times.length > 1 ? (Math.max(...times) - Math.min(...times)) / (times.length - 1) : undefined;
  return {
    done: parts.length - open.size,
    total: parts.length,
    secondsLeft: pace === undefined ? undefined : (open.size * pace) / 1000,
    missing: [...new Set(parts.filter(({ name }) => open.has(name)).flatMap(({ samples }) => samples))],
  };
}

/** Tasks of each job by their state: of those that have ended also what Slurm still knows, or its accounting if there is one. */
async function jobStates(jobs: readonly string[]): Promise<Map<string, Map<string, number>>> {
  // One line a task (-r). A number that Slurm has forgotten is an error, so all of the user's jobs are asked for.
  const known = await slurm('squeue', ['--me', '-h', '-r', '-t', 'all', '-o', '%F %T']);
  const config = await slurm('scontrol', ['show', 'config']);
  const accounting = /^AccountingStorageType\s*=\s*accounting_storage\/(?!none)/m.test(config);
  const states = counted(known, jobs);
  const forgotten = jobs.filter((job) => !states.has(job));
  if (!accounting || forgotten.length === 0) return states;
  const past = await slurm('sacct', ['-X', '-n', '-P', '-o', 'JobID,State', '-j', forgotten.join(',')]);
  // "101_3|CANCELLED by 0"
  const lines = past.replaceAll(/^(\d+)\S*?\|(\w+).*$/gm, '$1 $2');
  return new Map([...states, ...counted(lines, forgotten)]);
}

async function slurm(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args).catch((cause: Error & { stderr?: string }) => {
    throw new NoticeError('usage', `${program}: ${(cause.stderr || cause.message).trim()}`, { cause });
  });
  return stdout;
}

/** Counts lines "job state" of these jobs. */
function counted(lines: string, jobs: readonly string[]): Map<string, Map<string, number>> {
  const found = new Map<string, Map<string, number>>();
  for (const line of lines.trim().split('\n')) {
    const [job = '', state = ''] = line.trim().split(/\s+/);
    if (!jobs.includes(job)) continue;
    const states = found.get(job) ?? new Map<string, number>();
    states.set(state, (states.get(state) ?? 0) + 1);
    found.set(job, states);
  }
  return found;
}
