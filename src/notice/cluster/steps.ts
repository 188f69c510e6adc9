// An experiment as steps of which each begins when the one before has ended. Each is made of commands that anybody can call.

import { TASK } from './shell.ts';

/** An experiment as it is submitted. */
export interface Submission {
  /** Arguments of `notice run` that make the experiment, without those of a shard and its folder. */
  readonly run: readonly string[];
  /** Its results folder. */
  readonly out: string;
  /** Tasks that compute at the same time. */
  readonly tasks: number;
}

/** What is to be done between two waits. */
export interface Step {
  readonly name: 'evaluate' | 'select' | 'measure' | 'merge';
  readonly tasks: number;
  /** Whether it runs the model. */
  readonly gpu: boolean;
  /** Arguments of `notice`, one command after the other, with {@link TASK} for the number of the task. */
  readonly commands: readonly (readonly string[])[];
}

/** Where scripts, logs and the folders of shards lie. */
export const workFolder = (out: string): string => `${out}.cluster`;

/** The folder of a shard of the questions, or of the measurements. */
export function shardFolder(
  { out, tasks }: Pick<Submission, 'out' | 'tasks'>,
  step: 'evaluate' | 'measure',
  shard: number | typeof TASK,
): string {
  return `${workFolder(out)}/${step}-${shard}-of-${tasks}`;
}

/** The folders of all shards. */
export const shardFolders = (of: Pick<Submission, 'out' | 'tasks'>, step: 'evaluate' | 'measure'): string[] =>
  Array.from({ length: of.tasks }, (_, i) => shardFolder(of, step, i + 1));

/**
 * Questions are shared out, and their answers joined. Then samples are chosen and cut into shards that cost about as much each;
 * these are measured, and joined.
 */
export function stepsOf(submission: Submission): Step[] {
  const { run, out, tasks } = submission;
  const into = (folder: string, ...more: string[]) => ['run', ...run, '--out', folder, ...more];
  const shard = (step: 'evaluate' | 'measure', ...more: string[]): Step => ({
    name: step,
    tasks,
    gpu: true,
    commands: [into(shardFolder(submission, step, TASK), '--shard', `${TASK}/${tasks}`, ...more)],
  });
  const merge = (step: 'evaluate' | 'measure') => ['merge', ...shardFolders(submission, step), '--out', out];
  return [
    shard('evaluate', '--until', 'evaluate'),
    { name: 'select', tasks: 1, gpu: true, commands: [merge('evaluate'), into(out, '--until', 'select')] },
    shard('measure', '--from', out),
    // Names what is missing if a task has failed.
    { name: 'merge', tasks: 1, gpu: false, commands: [merge('measure')] },
  ];
}
