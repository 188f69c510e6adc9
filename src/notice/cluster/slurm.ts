// Batch scripts for Slurm, one a step, and their submission.

import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NoticeError } from '../../errors.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { shellQuote } from './shell.ts';
import { type Step, type Submission, stepsOf, workFolder } from './steps.ts';

export interface SlurmOptions {
  /** Options of sbatch, as `--time=4:00:00`. */
  readonly sbatch: readonly string[];
  /** Of the steps that run the model, as `gpu:1`. */
  readonly gres: string;
  /** Image in which srun starts the program; default none. */
  readonly container?: string | undefined;
  /** Command that starts `notice`. */
  readonly program: readonly string[];
  /** Folder in which it is started. */
  readonly directory: string;
  /** Shell text before it: modules, environment. */
  readonly template: string;
}

export interface Script {
  readonly step: Step;
  readonly file: string;
  readonly text: string;
}

/** A step that was submitted. */
export interface SubmittedStep {
  readonly step: Step['name'];
  readonly tasks: number;
  /** Slurm's number of the job, of an array that of all its tasks. */
  readonly job: string;
}

/** In the work folder: what was submitted. */
export const JOBS_FILE = 'jobs.json';

/** Seconds before the time limit at which a task is told to end: the part in flight must be done by then. */
const NOTICE_SECONDS = 300;
/** After so many requeues something else is wrong. */
const MAX_REQUEUES = 50;

/**
 * Vulkan heeds no CUDA_VISIBLE_DEVICES. Mesa's device selection layer, which is implicit and of any vendor, offers the one
 * device whose PCI address it is told, with `!` no other. What nvidia-smi sees is what Slurm lets the task see.
 */
const PICK_GPU = `
if [ -z "\${DRI_PRIME:-}" ] && command -v nvidia-smi > /dev/null && [ "$(nvidia-smi -L | wc -l)" -gt 1 ]; then
  GPU=\${CUDA_VISIBLE_DEVICES:-\${SLURM_JOB_GPUS:-}}
  # 00000000:3B:00.0 is pci-0000_3b_00_0
  PCI=$(nvidia-smi -i "\${GPU%%,*}" --query-gpu=pci.bus_id --format=csv,noheader | tr 'A-F:.' 'a-f__')
  # Where the Vulkan loader looks for layers.
  LAYERS=/vulkan/implicit_layer.d/*device_select*.json
  DATA=/etc:\${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
  if [ -z "$GPU" ] || [ -z "$PCI" ] || [ -z "$(ls \${DATA//:/$LAYERS }$LAYERS 2> /dev/null)" ]; then
    echo "Several GPUs are visible, and Vulkan cannot be told which is this task's: constrain devices" \\
      "(ConstrainDevices=yes in cgroup.conf), install mesa-vulkan-drivers, or set DRI_PRIME in --template." >&2
    exit 1
  fi
  export DRI_PRIME="pci-\${PCI#0000}!"
fi
`;

/** The scripts of an experiment, in the order in which they run. */
export function slurmScripts(submission: Submission, options: SlurmOptions): Script[] {
  return stepsOf(submission).map((step) => ({
    step,
    file: join(workFolder(submission.out), `${step.name}.sh`),
    text: script(submission, step, options),
  }));
}

function script({ out }: Submission, step: Step, options: SlurmOptions): string {
  const { sbatch, gres, container, program, directory, template } = options;
  const array = step.tasks > 1;
  const log = join(workFolder(out), 'logs', `${step.name}-${array ? '%A_%a' : '%j'}.log`);
  const headers = [
    `--job-name=notice-${step.name}`,
    ...(array ? [`--array=1-${step.tasks}`] : []),
    `--output=${log}`,
    '--open-mode=append',
    '--requeue',
    `--signal=B:USR1@${NOTICE_SECONDS}`,
    ...(step.gpu ? [`--gres=${gres}`] : []),
    ...sbatch,
  ];
  const start = [...(container ? ['srun', `--container=${container}`] : []), ...program];
  const pick = step.gpu && !container ? PICK_GPU : '';
  const commands = step.commands.map((args) => ['run', ...start, ...args].map(shellQuote).join(' '));
  return `#!/bin/bash
${headers.map((header) => `#SBATCH ${header}`).join('\n')}
${template.trim()}

cd ${shellQuote(directory)} || exit 1
TASK=\${SLURM_ARRAY_TASK_ID:-1}
JOB=${array ? '"$SLURM_ARRAY_JOB_ID"_$TASK' : '$SLURM_JOB_ID'}
${pick}
# Slurm signals this script, before the time limit (USR1) and when it takes the machine back (TERM). Node gets SIGTERM for
# both, and ends after the part in flight with status 75. SIGUSR1 would open Node's debugger.
trap 'again=1; kill -TERM "$child" 2>/dev/null' USR1 TERM
run() {
  "$@" &
  child=$! again=1
  # A signal ends the wait, not the child.
  while [ "$again" = 1 ]; do
    again=0
    wait "$child"
    status=$?
  done
  return "$status"
}

${commands.join(' &&\n')}
status=$?
if [ "$status" = 75 ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt ${MAX_REQUEUES} ]; then
  # A job that was cancelled gets the same signal, and is COMPLETING by then.
  scontrol show job "$JOB" | grep -q JobState=RUNNING && scontrol requeue "$JOB"
fi
exit "$status"
`;
}

/**
 * Writes the scripts and submits them, each dependent on the one before.
 *
 * @throws NoticeError('usage') if there is no sbatch, or with what it says if it refuses
 */
export async function submitToSlurm(scripts: readonly Script[]): Promise<SubmittedStep[]> {
  const submitted: SubmittedStep[] = [];
  for (const { step, file, text } of scripts) {
    await mkdir(join(file, '..', 'logs'), { recursive: true });
    await writeWhole(file, text);
    const before = submitted.at(-1)?.job;
    // It also says what a failed task left undone.
    const condition = step.name === 'merge' ? 'afterany' : 'afterok';
    const wait = before ? [`--dependency=${condition}:${before}`, '--kill-on-invalid-dep=yes'] : [];
    submitted.push({ step: step.name, tasks: step.tasks, job: await sbatch([...wait, file]) });
    await writeWhole(join(file, '..', JOBS_FILE), JSON.stringify(submitted));
  }
  return submitted;
}

/** The job's number, from "number" or "number;cluster". */
async function sbatch(args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('sbatch', ['--parsable', ...args]).catch(
    (cause: Error & { code?: string; stderr?: string }) => {
      const why =
        cause.code === 'ENOENT'
          ? 'there is no sbatch on this machine'
          : (cause.stderr || cause.message).trim();
      throw new NoticeError('usage', `sbatch ${args.join(' ')}: ${why}`, { cause });
    },
  );
  const [, job] = /^(\d+)(?:;\S+)?$/.exec(stdout.trim()) ?? [];
  if (!job) throw new NoticeError('usage', `sbatch: expected the number of a job, found "${stdout.trim()}"`);
  return job;
}
