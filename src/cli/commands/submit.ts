import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import { withPlannedModel } from '../../models/index.ts';
import { slurmScripts, submitToSlurm } from '../../notice/cluster/slurm.ts';
import type { Submission } from '../../notice/cluster/steps.ts';
import { PACKAGE } from '../embedded.ts';
import { anySource, positiveInteger, withSource } from '../options.ts';
import { pairOperations } from './plan.ts';
import { parseRun, type RunCommandOptions } from './run.ts';

interface SubmitOptions {
  readonly tasks?: number;
  readonly taskMinutes?: number;
  readonly rate?: number;
  readonly gres: string;
  readonly time?: string;
  readonly partition?: string;
  readonly account?: string;
  readonly container?: string;
  readonly template?: string;
  readonly dryRun?: boolean;
}

export function submitCommand(program: Command): void {
  program
    .command('submit')
    .description(
      'Runs experiments on a cluster as dependent steps: questions shared out, samples selected, measured by many tasks, a report.',
    )
    .argument(
      '[experiments...]',
      'YAML files as for `notice run --config`; behind -- options of `notice run`',
    )
    .addOption(new Option('--engine <name>', 'what runs the steps').choices(['slurm']).makeOptionMandatory())
    .option('--tasks <n>', 'tasks that compute at the same time', positiveInteger)
    .option('--task-minutes <n>', 'in place of --tasks: the time that each should take', positiveInteger)
    .option(
      '--rate <GFLOP/s>',
      "for --task-minutes: of matrix products on the cluster's GPU",
      positiveInteger,
    )
    .option('--gres <list>', 'GPU of a task', 'gpu:1')
    .option('--time <limit>', 'time limit of a task, as sbatch takes it')
    .option('--partition <name>', 'as sbatch takes it')
    .option('--account <name>', 'as sbatch takes it')
    .option('--container <image>', 'image that srun starts the program `notice` in')
    .option(
      '--template <file>',
      'shell text that stands first in the scripts: #SBATCH lines, modules, environment',
    )
    .option('--dry-run', 'print the scripts and submit nothing')
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
  const submissions: Submission[] = [];
  for (const config of runs) submissions.push(await submissionOf([...config, ...flags], options));
  const outs = submissions.map(({ out }) => out);
  const twice = outs.find((out, i) => outs.indexOf(out) !== i);
  if (twice) throw new NoticeError('usage', `two experiments have the same results folder, ${twice}`);
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
    console.log(
      `Follow it: squeue -j ${submitted.map(({ job }) => job).join(',')}; logs are in ${dirname(scripts[0]?.file ?? '')}/logs, results in ${submission.out}`,
    );
  }
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
  const { gres, container, template } = options;
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
