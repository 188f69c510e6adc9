import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import { withPlannedModel } from '../../models/index.ts';
import { slurmScripts, submitToSlurm } from '../../notice/cluster/slurm.ts';
import { type Submission, workFolder } from '../../notice/cluster/steps.ts';
import { pairOperations } from '../../notice/paper-sweeps.ts';
import { PACKAGE } from '../embedded.ts';
import { anySource, positiveInteger, withSource } from '../options.ts';
import { duration } from '../plan.ts';
import { INTERRUPTED_STATUS } from '../preemption.ts';
import { parseRun, type RunCommandOptions } from './run.ts';

interface SubmitOptions {
  readonly engine: 'slurm' | 'kubernetes';
  readonly tasks?: number;
  readonly taskMinutes?: number;
  readonly rate?: number;
  readonly gres?: string;
  readonly claim?: string;
  readonly mount?: string;
  readonly time?: string;
  readonly partition?: string;
  readonly account?: string;
  readonly container?: string;
  readonly template?: string;
  readonly dryRun?: boolean;
  readonly status?: boolean;
}

export function submitCommand(program: Command): void {
  program
    .command('submit')
    .description(
      'Runs experiments on a cluster by many tasks, each with a shard: submits them to Slurm, or prints the Jobs for `kubectl apply -f -`.',
    )
    .argument(
      '[experiments...]',
      'YAML files as for `notice run --config`; behind -- options of `notice run`',
    )
    .addOption(
      new Option('--engine <name>', 'what runs the steps').choices(['slurm', 'kubernetes']).default('slurm'),
    )
    .option('--tasks <n>', 'tasks that compute at the same time', positiveInteger)
    .option('--task-minutes <n>', 'in place of --tasks: the time that each should take', positiveInteger)
    .option(
      '--rate <GFLOP/s>',
      "for --task-minutes: of matrix products on the cluster's GPU",
      positiveInteger,
    )
    .option('--gres <list>', 'GPU of a task: gpu:1, of Kubernetes nvidia.com/gpu:1, unless given')
    .option('--time <limit>', 'time limit of a task, as sbatch takes it')
    .option('--partition <name>', 'as sbatch takes it')
    .option('--account <name>', 'as sbatch takes it')
    .option('--container <image>', 'image that has the program `notice`: for srun, or of the pods')
    .option(
      '--template <file>',
      'shell text that stands first in the scripts: #SBATCH lines, modules, environment',
    )
    .option('--claim <name>', 'Kubernetes: claim of the volume that pods share')
    .option('--mount <folder>', 'Kubernetes: where it is mounted, here and in the pods')
    .option('--status', 'Slurm: how far the experiments are, in place of submitting them')
    .option('--dry-run', 'Slurm: print the scripts and submit nothing')
    .addHelpText(
      'after',
      '\nExample:\n  notice submit --engine slurm --tasks 8 --time 4:00:00 --dry-run examples/experiment.yaml',
    )
    .action(submit);
}

async function submit(operands: string[], options: SubmitOptions): Promise<void> {
  const first = operands.findIndex((operand) => operand.startsWith('-'));
  const experiments = first < 0 ? operands : operands.slice(0, first);
  const flags = first < 0 ? [] : operands.slice(first);
  const runs = experiments.length > 0 ? experiments.map((file) => ['--config', resolve(file)]) : [[]];
  if (options.status) {
    for (const config of runs) await printStatus(resolve((await parseRun([...config, ...flags])).out));
    return;
  }
  const submissions: Submission[] = [];
  for (const config of runs) submissions.push(await submissionOf([...config, ...flags], options));
  const outs = submissions.map(({ out }) => out);
  const twice = outs.find((out, i) => outs.indexOf(out) !== i);
  if (twice) throw new NoticeError('usage', `two experiments have the same results folder, ${twice}`);
  await ENGINES[options.engine](submissions, options);
}

const ENGINES: Readonly<
  Record<
    SubmitOptions['engine'],
    (submissions: readonly Submission[], options: SubmitOptions) => Promise<void>
  >
> = { slurm: submitSlurm, kubernetes: submitKubernetes };

async function submitSlurm(submissions: readonly Submission[], options: SubmitOptions): Promise<void> {
  const slurm = await slurmOptions(options);
  for (const submission of submissions) {
    const scripts = slurmScripts(submission, slurm);
    if (options.dryRun) {
      for (const { file, text } of scripts) console.log(`# ${file}\n${text}`);
      continue;
    }
    const submitted = await submitToSlurm(scripts);
    for (const { step, tasks, job } of submitted)
      console.log(`${step.padEnd(8)} job ${job}${tasks > 1 ? `, ${tasks} tasks` : ''}`);
    const jobs = submitted.map(({ job }) => job).join(',');
    console.log(
      `Follow it: squeue -j ${jobs}; logs are in ${workFolder(submission.out)}/logs, results in ${submission.out}`,
    );
  }
}

async function printStatus(out: string): Promise<void> {
  const { statusOf } = await import('../../notice/cluster/status.ts');
  const { answered, shards, finished, steps } = await statusOf(out);
  console.log(out);
  for (const { step, job, states } of steps) {
    const said = [...states].map(([state, count]) => `${count} ${state.toLowerCase()}`).join(', ');
    console.log(`  ${step.padEnd(8)} job ${job}: ${said || 'forgotten by Slurm'}`);
  }
  console.log(`  questions: ${answered.done} of ${answered.total} shards answered`);
  const idle = steps.every(({ states }) => ![...states.keys()].some((state) => AT_WORK.has(state)));
  for (const [i, { done, total, secondsLeft, missing }] of shards.entries()) {
    const left = done < total && secondsLeft !== undefined ? `, about ${duration(secondsLeft)} left` : '';
    const samples = idle && missing.length > 0 ? `; missing: ${missing.join(', ')}` : '';
    console.log(`  shard ${i + 1}: ${done} of ${total} parts measured${left}${samples}`);
  }
  if (finished) console.log(`  finished ${finished}`);
  else if (idle) console.log('  nothing is at work: submit it again, and it goes on');
}

/** States of jobs that have not ended. */
const AT_WORK = new Set([
  'PENDING',
  'RUNNING',
  'CONFIGURING',
  'COMPLETING',
  'REQUEUED',
  'SUSPENDED',
  'STOPPED',
]);

/** kubectl has a cluster's address and credentials: what is printed is for its standard input. */
async function submitKubernetes(submissions: readonly Submission[], options: SubmitOptions): Promise<void> {
  const { container, claim, mount, gres = 'nvidia.com/gpu:1' } = options;
  if (!container || !claim || !mount)
    throw new NoticeError('usage', '--engine kubernetes needs --container, --claim and --mount');
  const { kubernetesJobs } = await import('../../notice/cluster/kubernetes.ts');
  const [, resource, count] = /^(.+?)(?::(\d+))?$/.exec(gres) ?? [];
  const jobs = submissions.map((submission) =>
    kubernetesJobs(submission, {
      image: container,
      claim,
      mount: resolve(mount),
      gpu: { [resource as string]: Number(count ?? 1) },
      directory: process.cwd(),
      interruptedStatus: INTERRUPTED_STATUS,
    }),
  );
  process.stdout.write(jobs.join('---\n'));
}

async function submissionOf(args: readonly string[], options: SubmitOptions): Promise<Submission> {
  const run = await parseRun(args);
  if (run.shard || run.until)
    throw new NoticeError('usage', 'submit shares the work out by itself: leave out --shard and --until');
  // A task without its GPU is to fail at once, and not to compute for months on the processor.
  const adapter = run.adapter ? [] : ['--adapter', 'hardware'];
  return { run: [...args, ...adapter], out: resolve(run.out), tasks: await taskCount(run, options) };
}

/** As many tasks as keep to the wished time: the plan's operations by the GPU's rate. */
async function taskCount(run: RunCommandOptions, options: SubmitOptions): Promise<number> {
  const { tasks, taskMinutes, rate } = options;
  if (tasks !== undefined) return tasks;
  if (taskMinutes === undefined || rate === undefined)
    throw new NoticeError(
      'usage',
      'say how many tasks (--tasks), or --task-minutes and the --rate of the GPU',
    );
  // Only counted: the machine that submits need not have a GPU.
  const operations = await withSource(
    { model: run.model, adapter: 'software' },
    ({ gpu, source }) =>
      withPlannedModel(gpu, source, run.dtype ? { dtype: run.dtype } : {}, (model) =>
        pairOperations(model, run.corruptions, run.noiseDraws),
      ),
    anySource,
  );
  const samples = run.samples * run.data.length;
  return Math.min(samples, Math.ceil((samples * operations) / (1e9 * rate * 60 * taskMinutes)));
}

async function slurmOptions(options: SubmitOptions) {
  const { gres = 'gpu:1', container, template } = options;
  const sbatch = (['time', 'partition', 'account'] as const).flatMap((name) =>
    options[name] === undefined ? [] : [`--${name}=${options[name]}`],
  );
  const text = template
    ? await readFile(template, 'utf8').catch((cause: Error) => {
        throw new NoticeError('usage', `--template ${template} cannot be read: ${cause.message}`, { cause });
      })
    : '';
  // An image has its own installation.
  const program = container ? ['notice'] : [process.execPath, `${PACKAGE}bin/notice.mjs`];
  return { sbatch, gres, container, program, directory: process.cwd(), template: text };
}
