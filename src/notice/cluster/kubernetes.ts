// An experiment as one Indexed Job of Kubernetes, whose pods share a results folder on a volume.

import { basename, isAbsolute, relative } from 'node:path';
import { stringify } from 'yaml';
import { NoticeError } from '../../errors.ts';
import type { Submission } from './steps.ts';

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

/**
 * The Job as YAML. Jobs cannot depend on each other, and here none has to: one pod asks the questions while the others wait,
 * then each takes the next part that no other has, and the last writes the report.
 *
 * @throws NoticeError('usage') if the results folder is not on the volume
 */
export function kubernetesJob({ run, out, tasks }: Submission, options: KubernetesOptions): string {
  const { image, claim, mount, gpu, directory, interruptedStatus } = options;
  const place = relative(mount, out);
  if (isAbsolute(place) || place.startsWith('..'))
    throw new NoticeError('usage', `the results folder ${out} must be beneath --mount ${mount}`);
  const exitCodes = (action: string, status: number) => ({
    action,
    onExitCodes: { containerName: 'notice', operator: 'In', values: [status] },
  });
  return stringify({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName(out) },
    spec: {
      completionMode: 'Indexed',
      completions: tasks,
      parallelism: tasks,
      backoffLimitPerIndex: RETRIES,
      podFailurePolicy: {
        rules: [
          // A pod that was preempted, drained or told to end has done nothing wrong: another goes on in its place.
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
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
              command: ['notice', 'run', ...run, '--out', out],
              // Vulkan is in the driver's graphics libraries.
              env: [{ name: 'NVIDIA_DRIVER_CAPABILITIES', value: 'compute,utility,graphics' }],
              resources: { limits: gpu },
              volumeMounts: [{ name: 'shared', mountPath: mount }],
            },
          ],
          volumes: [{ name: 'shared', persistentVolumeClaim: { claimName: claim } }],
        },
      },
    },
  });
}

/** As names of Jobs may be: letters, digits and hyphens, at most 63 with what pods add. */
const jobName = (out: string): string =>
  `notice-${basename(out)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')}`
    .slice(0, 52)
    .replace(/-+$/, '');
