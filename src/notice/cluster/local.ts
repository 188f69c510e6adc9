// The steps of an experiment as processes of this machine, one for each of its devices.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { withClaim } from '../../platform/node/claim.ts';
import { TASK } from './shell.ts';
import { type Step, type Submission, stepsOf, workFolder } from './steps.ts';

export interface LocalOptions {
  /** Environment of each task: of the device that it takes. */
  readonly environments: readonly Readonly<Record<string, string>>[];
  /** Command that starts `notice`. */
  readonly program: readonly string[];
  /** Ends the tasks after what is in flight. */
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/**
 * Runs all steps. This process alone holds the experiment's folder; tasks write into folders of their own.
 *
 * @throws NoticeError('usage') if another process holds it, ('data') naming the tasks that failed and their logs; the reason of
 *   `signal`
 */
export async function runOnDevices(submission: Submission, options: LocalOptions): Promise<void> {
  const folder = workFolder(submission.out);
  await mkdir(join(folder, 'logs'), { recursive: true });
  const busy = new AbortController();
  const onWait = (owner: string) =>
    busy.abort(new NoticeError('usage', `${submission.out} is being computed by ${owner}`));
  const work = async () => {
    for (const step of stepsOf(submission)) await runStep(step, folder, options);
  };
  await withClaim(join(folder, 'claim'), work, { onWait, signal: busy.signal }).catch((error) => {
    busy.signal.throwIfAborted();
    throw error;
  });
}

async function runStep(step: Step, folder: string, options: LocalOptions): Promise<void> {
  const { environments, signal, log } = options;
  log(`${step.name}${step.tasks > 1 ? `, ${step.tasks} tasks` : ''} …`);
  const tasks = environments.slice(0, step.tasks).map(async (env, i) => {
    const file = join(folder, 'logs', `${step.name}-${i + 1}.log`);
    for (const command of step.commands) {
      signal.throwIfAborted();
      const args = command.map((arg) => arg.replaceAll(TASK, String(i + 1)));
      const status = await runCommand([...options.program, ...args], env, file, signal);
      if (status !== 0) return `task ${i + 1} of ${step.name} ended with status ${status} (${file})`;
    }
    return undefined;
  });
  // What one cannot do does not hinder the others.
  const ended = await Promise.allSettled(tasks);
  signal.throwIfAborted();
  const failures = ended.flatMap((task) =>
    task.status === 'rejected' ? [String(task.reason)] : task.value === undefined ? [] : [task.value],
  );
  if (failures.length > 0) throw new NoticeError('data', failures.join('; '));
}

function runCommand(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  file: string,
  signal: AbortSignal,
): Promise<number | string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = createWriteStream(file, { flags: 'a' });
    child.stdout.pipe(output, { end: false });
    child.stderr.pipe(output, { end: false });
    const end = () => child.kill('SIGTERM');
    signal.addEventListener('abort', end, { once: true });
    child.on('error', reject);
    child.on('close', (status, name) => {
      signal.removeEventListener('abort', end);
      output.end();
      resolve(status ?? name ?? 'unknown');
    });
  });
}
