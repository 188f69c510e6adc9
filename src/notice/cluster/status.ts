// How far an experiment is: by its folders, which say what is done, and by the scheduler, which says what is at work.

import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NoticeError } from '../../errors.ts';
import { KINDS, type PartRecord, partsWith } from '../experiment/record.ts';
import { ResultsFolder } from '../experiment/results.ts';
import { JOBS_FILE, type SubmittedStep } from './slurm.ts';
import { answersFolder, workFolder } from './steps.ts';

export interface ExperimentStatus {
  /** Shards of the questions, and how many are answered; undefined once the samples are chosen. */
  readonly answers?: { readonly done: number; readonly total: number };
  /** Parts of the measurements; undefined until the samples are chosen. */
  readonly parts?: {
    readonly done: number;
    readonly total: number;
    /** At the pace of the parts until now; undefined before the second. */
    readonly secondsLeft: number | undefined;
    /** Samples of the parts that are not done. */
    readonly missing: readonly string[];
  };
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
  const { folder, record } = await open(out);
  if (!folder || !record?.parts) {
    const total = submitted.find(({ step }) => step === 'evaluate')?.tasks ?? 1;
    let done = 0;
    for (let shard = 1; shard <= total; shard++)
      if ((await open(answersFolder(out, shard))).record?.answered) done++;
    return { answers: { done, total }, finished: undefined, steps };
  }
  return { parts: await partsStatus(folder, record.parts), finished: record.finished, steps };
}

/** Nothing of a folder that has not been begun. */
async function open(path: string): Promise<Partial<Awaited<ReturnType<typeof ResultsFolder.existing>>>> {
  return (await stat(join(path, 'run.json')).catch(() => undefined)) ? ResultsFolder.existing(path) : {};
}

async function partsStatus(folder: ResultsFolder, parts: readonly PartRecord[]) {
  const open = new Set<string>();
  for (const kind of KINDS)
    for (const part of partsWith(kind, parts)) if (!(await folder.holds(kind, part))) open.add(part);
  const times: number[] = [];
  for (const { name } of parts)
    if (!open.has(name)) times.push((await stat(folder.partFile('cells', name))).mtimeMs);
  const pace = times.length > 1 ? (Math.max(...times) - Math.min(...times)) / (times.length - 1) : undefined;
  return {
    done: parts.length - open.size,
    total: parts.length,
    secondsLeft: pace === undefined ? undefined : (open.size * pace) / 1000,
    missing: [...new Set(parts.filter(({ name }) => open.has(name)).flatMap(({ samples }) => samples))],
  };
}

/** Tasks of each job by their state; of a job that has ended Slurm soon knows nothing. */
async function jobStates(jobs: readonly string[]): Promise<Map<string, Map<string, number>>> {
  // One line a task (-r). A number that Slurm has forgotten is an error, so all of the user's jobs are asked for.
  const { stdout } = await promisify(execFile)('squeue', ['--me', '-h', '-r', '-o', '%F %T']).catch(
    (cause: Error & { stderr?: string }) => {
      throw new NoticeError('usage', `squeue: ${(cause.stderr || cause.message).trim()}`, { cause });
    },
  );
  const found = new Map<string, Map<string, number>>();
  for (const line of stdout.trim().split('\n')) {
    const [job = '', state = ''] = line.trim().split(/\s+/);
    if (!jobs.includes(job)) continue;
    const states = found.get(job) ?? new Map<string, number>();
    states.set(state, (states.get(state) ?? 0) + 1);
    found.set(job, states);
  }
  return found;
}
