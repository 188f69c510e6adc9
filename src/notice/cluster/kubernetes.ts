// An experiment as Jobs of Kubernetes, one a step. Jobs cannot depend on each other, so all are begun at once: the one that needs
// no GPU waits for the shards, and a pod with a GPU for which it is too early gives it back and is tried again.

import { basename, isAbsolute, relative } from 'node:path';
import { stringify } from 'yaml';
import { NoticeError } from '../../errors.ts';
import { shellQuote } from './shell.ts';
import { type Step, type Submission, stepsOf } from './steps.ts';

export interface KubernetesOptions {
  /** Image with the program `notice`. */
  readonly image: string;
  /** Persistent volume claim that all pods mount. */
  readonly claim: string;
  /** Where it is mounted: the experiment's files and its results lie beneath. */
  readonly mount: string;
  /** GPUs of a pod by their resource's name, as `nvidia.com/gpu: 1`. */
  readonly gpu: Readonly<Record<string, number>>;
  /** Folder in which the program is started. */
  readonly directory: string;
  /** Status of a run that was told to end with work left. */
  readonly interruptedStatus: number;
}

/** For the part in flight, once a pod is told to end. */
const GRACE_SECONDS = 300;
/** Failures of a pod that are not the cluster's doing. */
const RETRIES = 3;
/** A mistake in the command line: no other pod would do better. */
const USAGE_STATUS = 2;
/** What is not done after a week waits for what failed. */
const DEADLINE_SECONDS = 7 * 24 * 3600;

/**
 * The Jobs as YAML: `evaluate` and `measure` with a pod for each shard, `select`, and `merge`, which waits for what is measured.
 *
 * @throws NoticeError('usage') if the results folder is not on the volume
 */
export function kubernetesJobs(submission: Submission, options: KubernetesOptions): string {
  const { out } = submission;
  const place = relative(options.mount, out);
  if (isAbsolute(place) || place.startsWith('..'))
    throw new NoticeError('usage', `the results folder ${out} must be beneath --mount ${options.mount}`);
  return stepsOf(submission)
    .map((step) => stringify(jobOf(step, out, options)))
    .join('---\n');
}

function jobOf(step: Step, out: string, options: KubernetesOptions) {
  const { image, claim, mount, gpu, directory, interruptedStatus } = options;
  const exitCodes = (action: string, status: number) => ({
    action,
    onExitCodes: { containerName: 'notice', operator: 'In', values: [status] },
  });
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName(out, step.name) },
    spec: {
      completionMode: 'Indexed',
      completions: step.tasks,
      parallelism: step.tasks,
      backoffLimitPerIndex: RETRIES,
      activeDeadlineSeconds: DEADLINE_SECONDS,
      podFailurePolicy: {
        rules: [
          // A pod that was preempted, drained or told to end has done nothing wrong: another goes on in its place.
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          // Nor has one that came too early.
          exitCodes('Ignore', interruptedStatus),
          exitCodes('FailJob', USAGE_STATUS),
        ],
      },
      template: {
        spec: {
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: GRACE_SECONDS,
          containers: [
            {
              name: 'notice',
              image,
              workingDir: directory,
              command: ['sh', '-c', shellText(step)],
              // Vulkan is in the driver's graphics libraries.
              env: [{ name: 'NVIDIA_DRIVER_CAPABILITIES', value: 'compute,utility,graphics' }],
              ...(step.gpu ? { resources: { limits: gpu } } : {}),
              volumeMounts: [{ name: 'shared', mountPath: mount }],
            },
          ],
          volumes: [{ name: 'shared', persistentVolumeClaim: { claimName: claim } }],
        },
      },
    },
  };
}

function shellText({ commands, gpu }: Step): string {
  // With a GPU only for a minute.
  const wait = gpu ? ['--wait', '1'] : ['--wait'];
  const lines = commands.map((args) =>
    ['notice', ...args, ...(args[0] === 'merge' ? wait : [])].map(shellQuote).join(' '),
  );
  // The last one takes the place of the shell, which would keep signals to itself.
  const last = lines.pop();
  return ['TASK=$((JOB_COMPLETION_INDEX + 1))', ...lines, `exec ${last}`].join(' && ');
}

/** As names of Jobs may be: letters, digits and hyphens, at most 63 with what pods add. */
function jobName(out: string, step: string): string {
  const name = `notice-${basename(out).toLowerCase()}`.replace(/[^a-z0-9]+/g, '-');
  return `${name.slice(0, 51 - step.length).replace(/-+$/, '')}-${step}`;
}
