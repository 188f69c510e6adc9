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
  readonly name: 'evaluate' | 'select' | 'measure' | 'report';
  readonly tasks: number;
  /** Whether it runs the model. */
  readonly gpu: boolean;
  /** Arguments of `notice`, one command after the other, with {@link TASK} for the number of the task. */
  readonly commands: readonly (readonly string[])[];
}

/** Where scripts, logs and the answers of the shards lie. */
export const workFolder = (out: string): string => `${out}.cluster`;

/** The folder of a shard's answers. */
export const answersFolder = (out: string, shard: number | typeof TASK): string =>
  `${workFolder(out)}/answers-${shard}`;

/**
 * Questions are shared out, and their answers joined. Then all tasks measure in the results folder, where each takes the next
 * part that no other has: whatever parts cost, tasks end at most one part apart, and what a lost task leaves the others do.
 */
export function stepsOf({ run, out, tasks }: Submission): Step[] {
  const into = (folder: string, ...more: string[]) => ['run', ...run, '--out', folder, ...more];
  const answers = Array.from({ length: tasks }, (_, i) => answersFolder(out, i + 1));
  return [
    {
      name: 'evaluate',
      tasks,
      gpu: true,
      commands: [into(answersFolder(out, TASK), '--shard', `${TASK}/${tasks}`, '--until', 'evaluate')],
    },
    {
      name: 'select',
      tasks: 1,
      gpu: true,
      commands: [['merge', ...answers, '--out', out], into(out, '--until', 'select')],
    },
    { name: 'measure', tasks, gpu: true, commands: [into(out)] },
    // Names what is missing if a task has failed.
    { name: 'report', tasks: 1, gpu: false, commands: [['report', out]] },
  ];
}
